// A browser's part, to copy. One request starts the app: /config brings the first token, /token only renews it.
// examples/tests runs this file with Stream's SDK against the development server.
import { StreamChat } from 'stream-chat';

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// backend returns get(path), which answers with the JSON or throws an error with the answer's status. It tries again after 429,
// 5xx, four silent seconds and network errors: a random time, twice as long each time, and at least what Retry-After says.
// A browser reports API Gateway's own 429 as a network error if it has no CORS headers.
export const backend = (api, accessToken, { attempts = 8, first = 500, longest = 8000 } = {}) => async (path) => {
  for (let attempt = 0; ; attempt++) {
    let answer, wait = 0, failure;
    try {
      answer = await fetch(api + path, { headers: { Authorization: `Bearer ${await accessToken()}` }, signal: AbortSignal.timeout(4000) });
      const body = await answer.json();
      if (answer.ok) return body;
      wait = Math.min(1000 * Number(answer.headers.get('Retry-After')) || 0, longest);
      failure = Object.assign(new Error(body.errorMsg ?? body.message), { status: answer.status });
    } catch (error) {
      failure = error;
    }
    const final = answer && answer.status !== 429 && answer.status < 500;
    if (final || attempt + 1 >= attempts) throw failure;
    await pause(wait + Math.random() * Math.min(first * 2 ** attempt, longest));
  }
};

// connect returns { client, call, signOut }. sdk is for StreamChat's options.
export const connect = async (get, clientType = 'web', sdk = {}) => {
  const { authentication, errors, ...config } = await get(`/config?clientType=${encodeURIComponent(clientType)}`);
  if (!authentication) throw new Error(errors?.message ?? 'Not signed in'); // show the sign-in instead
  const { apiKey, userId, name, image } = authentication; // name and image with SyncUsers

  // The SDK asks once and then gives up until it connects anew, so get tries again; calls that expire together share one request.
  let first = authentication.userToken, flight;
  const token = () => {
    if (first) return [first, first = undefined][0];
    return flight ??= get('/token/me').then((answer) => answer.token).finally(() => { flight = undefined; });
  };
  const client = new StreamChat(apiKey, sdk);

  // call runs one of the SDK's calls. The SDK renews a token that has expired (code 40) but not one with a wrong signature (43), as
  // after a rotation of the secret, and after a failed renewal every call fails with the old error. 9 is Stream's rate limit. A 2, or
  // a 43 that stays, means that the key has changed: call connect again.
  let renewal, renewals = 0;
  const renew = async () => {
    await client.closeConnection();
    await client.tokenManager.loadToken();
    await client.openConnection();
  };
  const has = (error, ...codes) => codes.includes(error.code) || codes.includes(Number(/"code":(\d+)/.exec(error.message)?.[1]));
  const call = async (f, again = renew) => {
    for (let attempt = 0; ; attempt++) {
      const before = renewals;
      try {
        return await f(client);
      } catch (error) {
        if (!has(error, 9, 40, 43) || attempt >= 7) throw error;
        if (attempt > 0 || has(error, 9)) await pause(Math.random() * Math.min(1000 * 2 ** attempt, 8000));
        if (has(error, 9) || renewals > before) continue; // another call has renewed it
        await (renewal ??= again().catch((e) => { if (!has(e, 9, 40, 43)) throw e; }).finally(() => { renewal = undefined; renewals++; }));
      }
    }
  };
  await call(() => client.connectUser({ id: userId, name, image }, async () => token()).catch((error) => {
    if (has(error, 9)) first = authentication.userToken; // which was not at fault
    throw error;
  }), async () => {});

  // signOut ends the connection. Do it before your identity provider's sign-out, and forget the access token as well.
  const signOut = () => client.disconnectUser();
  return { client, config, call, signOut };
};
