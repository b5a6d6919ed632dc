// An event may come more than once: what this does for one should be harmless to do twice, or ask whether
// metadata.webhookId is done, as examples/consumer does.
export const handler = async ({ 'detail-type': type, detail: { metadata, event } }) => {
  if (event === null) {
    console.log(`${type} is too large for the bus: s3://${metadata.object.bucket}/${metadata.object.key}`);
    return;
  }
  console.log(`${type} in ${event.cid} (${metadata.webhookId})`);
};
