// A rule for users who sign in: paying users only. The id and the teams come from the
// table; a user without a row keeps the id that their token gives them.
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'; // in Lambda's Node.js runtime

const table = new DynamoDBClient({});

const find = async (sub) => {
  const { Item } = await table.send(new GetItemCommand({ TableName: process.env.TABLE, Key: { sub: { S: sub } } }));
  return Item && { chatId: Item.chatId?.S, teams: Item.teams?.SS };
};

export const rule = async ({ claims }, row = find) => {
  if (!['pro', 'team'].includes(claims['https://acme.com/plan'])) {
    return { allow: false, message: 'The chat comes with the plan Pro.' };
  }
  const user = await row(claims.sub);
  return user ? { userId: user.chatId, teams: user.teams } : {};
};

export const handler = (event) => rule(event);
