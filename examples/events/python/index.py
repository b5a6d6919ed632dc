# An event may come more than once: what this does for one should be harmless to do twice, or ask whether
# metadata["webhookId"] is done, as examples/consumer does.
def handler(event, context):
    kind, metadata, chat = event["detail-type"], event["detail"]["metadata"], event["detail"]["event"]
    if chat is None:
        print(f'{kind} is too large for the bus: s3://{metadata["object"]["bucket"]}/{metadata["object"]["key"]}')
        return
    print(f'{kind} in {chat["cid"]} ({metadata["webhookId"]})')
