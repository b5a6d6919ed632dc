// Cognito: pre token generation trigger with event version V2_0, for access tokens.
const namespace = 'https://acme.com/';

export const handler = async (event) => {
  const { sub, name, picture, 'custom:chat_id': chatId } = event.request.userAttributes;
  const claims = {
    [namespace + 'chat_id']: chatId ?? sub, // chatId: the id that the user already has at Stream
    [namespace + 'name']: name,
    [namespace + 'picture']: picture,
  };
  event.response = {
    claimsAndScopeOverrideDetails: {
      accessTokenGeneration: {
        claimsToAddOrOverride: Object.fromEntries(Object.entries(claims).filter(([, value]) => value)),
      },
    },
  };
  return event;
};
