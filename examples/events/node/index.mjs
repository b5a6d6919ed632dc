// An event may come more than once. Do only what is harmless to do twice, or remember metadata.webhookId, as
// examples/consumer does.
export const handler = async ({ 'detail-type': type, detail: { metadata, event } }) => {
  if (event === null) {
    console.log(`${type} is too large for the bus: s3://${metadata.object.bucket}/${metadata.object.key}`);
    return;
  }
  console.log(`${type} in ${event.cid} (${metadata.webhookId})`);
};
