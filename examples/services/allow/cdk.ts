// CDK. caller is the function that calls the Service API.
caller.addEnvironment('SERVICE_URL', cdk.Fn.importValue('chat-service-prod-ServiceApiUrl'));
caller.addToRolePolicy(new iam.PolicyStatement({
  actions: ['execute-api:Invoke'],
  resources: [`${cdk.Fn.importValue('chat-service-prod-ServiceApiArn')}/POST/proxy/users`],
}));
