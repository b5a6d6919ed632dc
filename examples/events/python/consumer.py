"""Takes events from the queue in batches. Those that fail stay in the queue and
come again; the others do not. Deliveries repeat: what must happen once needs a
note of metadata.webhookId, as examples/consumer keeps one."""

import json

import index


def handler(batch, context):
    failures = []
    for record in batch["Records"]:
        try:
            index.handler(json.loads(record["body"]), context)
        except Exception as err:
            print(f"message {record['messageId']}: {err}")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
