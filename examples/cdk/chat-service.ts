// The Chat Service Backend as one construct: copy this file and parameters.ts into your app.
import * as path from 'node:path';
import { CfnStack, Stack, Token } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { CfnFunction } from 'aws-cdk-lib/aws-sam';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { Construct } from 'constructs';
import { Parameters } from './parameters';

export interface ChatServiceProps {
  /** Folder of a release: template.yaml and the zip files. The resources become part of this stack, which can hold only one. */
  readonly release?: string;
  /** Instead of release: URL in S3 of a template that `sam package` or `aws cloudformation package` wrote. It becomes a nested stack. */
  readonly templateUrl?: string;
  readonly parameters: Parameters;
}

// What Stream's newest SDKs call below /api/v2/chat; everything else is below /api/v2.
const ofChat = /^(campaigns|channels|channeltypes|commands|drafts|members|messages|query_banned_users|reminders|search|segments|threads|unread)\b/;

const functions = ['Token', 'ApiKey', 'Config', 'Webhook', 'Proxy'];

export class ChatService extends Construct {
  /** Returns an output of the template, such as ServiceApiUrl. */
  readonly output: (name: string) => string;

  constructor(scope: Construct, id: string, props: ChatServiceProps) {
    super(scope, id);
    if ((props.release === undefined) === (props.templateUrl === undefined)) {
      throw new Error('ChatService needs either release, a folder, or templateUrl.');
    }
    const parameters: Record<string, string> = { ...props.parameters };
    if (props.templateUrl !== undefined) {
      // The nested stack's own name is made up, so its values are below the name of this one.
      const nested = new CfnStack(this, 'Stack', {
        templateUrl: props.templateUrl, parameters: { ParameterPrefix: `/${Stack.of(this).stackName}`, ...parameters },
      });
      this.output = (name) => nested.getAtt(`Outputs.${name}`).toString();
      return;
    }
    const release = props.release!;
    const options = { templateFile: path.join(release, 'template.yaml'), allowCyclicalReferences: true };
    // A value that is given here replaces its parameter, and with it CloudFormation's check of the value.
    const unchanged = new CfnInclude(new Stack(), 'Unchanged', options);
    for (const [name, value] of Object.entries(parameters)) {
      const { allowedPattern, allowedValues, constraintDescription } = unchanged.getParameter(name);
      const allowed = (!allowedPattern || new RegExp(allowedPattern).test(value)) && (!allowedValues || allowedValues.map(String).includes(value));
      if (!Token.isUnresolved(value) && !allowed) {
        throw new Error(`${name} is ${JSON.stringify(value)}, but ${constraintDescription ?? `must be one of ${allowedValues}`}.`);
      }
    }
    const template = new CfnInclude(this, 'Template', { ...options, parameters });
    for (const name of functions) {
      const code = new Asset(this, `${name}Code`, { path: path.join(release, `${name.toLowerCase()}.zip`) });
      const fn = template.getResource(`${name}Function`) as CfnFunction;
      fn.codeUri = { bucket: code.s3BucketName, key: code.s3ObjectKey };
    }
    this.output = (name) => Token.asString(template.getOutput(name).value);
  }

  /**
   * Lets a role or function call a route of the Service API. A path that begins with a slash is a route of the backend, as in
   * ('GET', '/token/*'); any other is Stream's, in both spellings that its SDKs use, as in ('POST', 'users').
   */
  grant(grantee: iam.IGrantable, method: string, route: string): iam.Grant {
    const paths = route.startsWith('/') ? [route] : [`/proxy/${route}`, `/proxy/api/v2/${ofChat.test(route) ? 'chat/' : ''}${route}`];
    return iam.Grant.addToPrincipal({
      grantee,
      actions: ['execute-api:Invoke'],
      resourceArns: paths.map((p) => `${this.output('ServiceApiArn')}/${method}${p}`),
    });
  }

  /** Sends Stream's events of these types to a target. */
  onEvent(types: string[], target: events.IRuleTarget): events.Rule {
    const rule = new events.Rule(this, `On${types.join('-')}`, {
      eventBus: events.EventBus.fromEventBusName(this, `BusOf${types.join('-')}`, this.output('EventBusName')),
      eventPattern: { source: ['stream.chat'], detailType: types },
    });
    rule.addTarget(target);
    return rule;
  }
}
