# An event may come more than once. Do only what is harmless to do twice, or remember metadata["webhookId"], as
# examples/consumer does.
def handler(event, context):
    kind, metadata, chat = event["detail-type"], event["detail"]["metadata"], event["detail"]["event"]
    if chat is None:
        print(f'{kind} is too large for the bus: s3://{metadata["object"]["bucket"]}/{metadata["object"]["key"]}')
        return
    print(f'{kind} in {chat["cid"]} ({metadata["webhookId"]})')
