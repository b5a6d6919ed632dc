"""Handles events from the queue in batches. Those that fail stay in the queue and
are delivered again. An event may come more than once: an action that must happen
once has to remember metadata.webhookId, as examples/consumer does."""

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
