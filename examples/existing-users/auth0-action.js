// Auth0: Actions, Triggers, post-login. Claims that Auth0 does not know need a namespace.
const namespace = 'https://acme.com/';

exports.onExecutePostLogin = async (event, api) => {
  const { user_id, name, picture, app_metadata = {} } = event.user;
  const claims = {
    chat_id: app_metadata.chat_id ?? user_id, // chat_id: the id that the user already has at Stream
    name,
    picture,
  };
  for (const [claim, value] of Object.entries(claims)) {
    if (value) api.accessToken.setCustomClaim(namespace + claim, value);
  }
};
