// An app with the Chat Service Backend from a release, a function that may add users at Stream and do nothing else there, and
// a queue with new messages. RELEASE is the release's folder; with TEMPLATE_URL instead, the backend is a nested stack.
import { App, Duration, Stack } from 'aws-cdk-lib';
import { SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { ChatService } from './chat-service';

const app = new App();
const stack = new Stack(app, 'chat-service-dev');

const chat = new ChatService(stack, 'Chat', {
  ...(process.env.TEMPLATE_URL ? { templateUrl: process.env.TEMPLATE_URL } : { release: process.env.RELEASE ?? 'release' }),
  parameters: {
    OidcIssuer: 'https://example.eu.auth0.com/',
    OidcAudience: 'https://chat.example.com',
    AllowedOrigins: 'https://app.example.com',
    // Text, because the template's conditions look at it, and CloudFormation lets no condition refer to a resource.
    AlarmTarget: 'ops@example.com',
  },
});

const caller = new lambda.Function(stack, 'Caller', {
  code: lambda.Code.fromAsset('../services/node'), // after npm install in there
  handler: 'service.handler',
  runtime: lambda.Runtime.NODEJS_22_X,
  timeout: Duration.seconds(30),
  environment: { SERVICE_URL: chat.output('ServiceApiUrl') },
});
chat.grant(caller, 'POST', 'users');
chat.grant(caller, 'GET', '/token/alice');

chat.onEvent(['message.new'], new SqsQueue(new sqs.Queue(stack, 'NewMessages', { enforceSSL: true })));
