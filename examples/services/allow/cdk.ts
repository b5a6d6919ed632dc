// CDK, where caller is the function, or anything else with a role, that calls
caller.addEnvironment('SERVICE_URL', cdk.Fn.importValue('chat-service-prod-ServiceApiUrl'));
caller.addToRolePolicy(new iam.PolicyStatement({
  actions: ['execute-api:Invoke'],
  resources: [`${cdk.Fn.importValue('chat-service-prod-ServiceApiArn')}/POST/proxy/users`],
}));
