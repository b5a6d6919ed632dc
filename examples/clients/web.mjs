// get throws unless the status is 2xx. The SDK asks for a token again only after Stream reports that the last one has expired, so report a failing token
// provider to the user yourself. The other files here do the same. A test parses this file; none has been run against live Stream.
import { StreamChat } from 'stream-chat';

const api = 'https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com'; // the output ClientApiUrl

async function get(path) {
  const answer = await fetch(api + path, { headers: { Authorization: `Bearer ${await accessToken()}` } }); // accessToken is your sign-in's
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.errorMsg ?? body.message);
  return body;
}

const { authentication, errors, ...config } = await get('/config?clientType=web');
if (!authentication) throw new Error(errors.message); // show the sign-in instead
const { apiKey, userId, name, image } = authentication; // name and image with SyncUsers

const client = StreamChat.getInstance(apiKey);
await client.connectUser({ id: userId, name, image }, async () => (await get('/token/me')).token);
