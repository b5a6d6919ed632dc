// The first scan of a security team: cdk-nag's AwsSolutions over the template of a release, RELEASE, with PARAMETERS (JSON). What is
// as it is on purpose says why beside the resource, in its metadata; this prints the rest, and fails if there is any.
import * as path from 'node:path';
import { App, CfnResource, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { AwsSolutionsChecks } from 'cdk-nag';

const stack = new Stack(new App(), 'chat-service');
new CfnInclude(stack, 'Template', {
  templateFile: path.join(process.env.RELEASE ?? 'release', 'template.yaml'),
  allowCyclicalReferences: true,
  parameters: JSON.parse(process.env.PARAMETERS ?? '{}'),
});

const used = new Set<string>();
for (const { ruleName, description, violatingResources } of new AwsSolutionsChecks(stack).validateScope(stack).violations) {
  for (const { constructPath } of violatingResources) {
    const id = constructPath?.split('/').pop() ?? '';
    const resource = stack.node.findChild('Template').node.findChild(id) as CfnResource;
    const reasons: { id: string; reason: string }[] = resource.getMetadata('cdk_nag')?.rules_to_suppress ?? [];
    if (reasons.some((r) => r.id === ruleName.split('[')[0] && r.reason)) used.add(`${id} ${ruleName.split('[')[0]}`);
    else console.log(`${id}: ${ruleName}: ${description}`), (process.exitCode = 1);
  }
}
console.log(`as they are on purpose: ${[...used].sort().join(', ')}`);
