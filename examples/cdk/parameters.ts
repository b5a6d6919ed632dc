// The parameters of template.yaml, from which a test generates this file.
export interface Parameters {
  /** dev switches to a new version at once; prod first sends it 10 % of the requests for five minutes, and rolls back on an alarm. */
  readonly Environment?: 'dev' | 'prod';
  /** Path in SSM Parameter Store that holds stream/api-key, stream/api-secret and client-config/<clientType>. Begins with a slash and does not end with one. */
  readonly ParameterPrefix?: string;
  /** Seconds that a value from SSM is used before it is fetched again, 1 to 99999. A rotated secret takes effect after this time. */
  readonly ParameterTtl?: string;
  /** Customer-managed KMS key that encrypts stream/api-secret. Leave empty if the AWS-managed key aws/ssm does. */
  readonly KmsKeyArn?: string;
  /** URL of Stream's REST API. Must be https, except for a stand-in on a loopback address. */
  readonly StreamBaseUrl?: string;
  /** Seconds that a user token is valid. Leave empty for tokens that never expire. */
  readonly ExpirationTokenDuration?: string;
  /** Header that names the user on the Service API. If the header holds a JSON object, add the path of the field after a dot, as in miauserproperties._id. */
  readonly UserIdHeaderKey?: string;
  /** Key of the error object in /config's response to an unknown caller. */
  readonly ErrorObjKey?: string;
  /** OpenID Connect issuer of the bearer tokens that identify callers of the Client API, exactly as in their iss claim. Leave empty to identify nobody. Add further issuers after commas, as prefix=issuer. */
  readonly OidcIssuer?: string;
  /** Audience that a bearer token must have (its aud claim, or client_id if it has no aud), or several, separated by commas. azp:<client> accepts that client's tokens for any audience. Required with OidcIssuer. */
  readonly OidcAudience?: string;
  /** URL below which the issuer serves .well-known/openid-configuration, if it is not the issuer's own. The document must still name the issuer. */
  readonly OidcDiscoveryUrl?: string;
  /** Claim of a bearer token that holds the user's id. */
  readonly UserIdClaim?: string;
  /** escape turns any claim into a valid Stream user id and leaves valid ids unchanged; none never changes the claim, so users whose claim is not a valid Stream id cannot chat. */
  readonly UserIdMapping?: 'escape' | 'none';
  /** true creates or updates the user at Stream at sign-in, with the fields in UserFields, and refuses users whom Stream refuses. Costs one call to Stream per user and minute. */
  readonly SyncUsers?: 'true' | 'false';
  /** With SyncUsers, the fields of the user at Stream and the claims they come from, as field=claim, separated by commas. May include teams and role; a role is never admin. */
  readonly UserFields?: string;
  /** Tokens that a user may get from one process in a minute before /token and /config answer 429. Leave empty for no limit. */
  readonly TokensPerMinute?: string;
  /** Web origins that may call the Client API (CORS), separated by commas without spaces. An asterisk allows any origin; leave empty to allow none. */
  readonly AllowedOrigins?: string;
  /** VPC endpoints for execute-api (vpce-...), separated by commas. If set, the Service API is private and accepts requests through these endpoints only. */
  readonly ServiceApiVpcEndpointIds?: string;
  /** Other AWS accounts whose roles may call the Service API, separated by commas. Those roles also need an IAM policy of their own. */
  readonly ServiceApiAccountIds?: string;
  /** Memory per function in MB. More memory also means more CPU. */
  readonly MemorySize?: `${number}`;
  /** Requests that each function may handle at once, reserved from the account's concurrency. Leave empty for no limit. */
  readonly ReservedConcurrency?: string;
  /** Overrides ReservedConcurrency for the webhook, so that no other function can use up the concurrency that Stream's webhooks need. */
  readonly WebhookReservedConcurrency?: string;
  /** Requests per second to each of GET /token, /config and /api-key on the Client API before it answers 429. */
  readonly ClientApiThrottlingRateLimit?: `${number}`;
  /** Burst that each of GET /token, /config and /api-key on the Client API accepts above its rate. */
  readonly ClientApiThrottlingBurstLimit?: `${number}`;
  /** Webhooks per second to POST /webhook before it answers 429. Stream sends those again, at most three times. */
  readonly WebhookThrottlingRateLimit?: `${number}`;
  /** Burst that POST /webhook accepts above its rate. */
  readonly WebhookThrottlingBurstLimit?: `${number}`;
  /** Requests per second to each route of the Service API except /proxy before it answers 429. */
  readonly ServiceApiThrottlingRateLimit?: `${number}`;
  /** Burst that each route of the Service API except /proxy accepts above its rate. */
  readonly ServiceApiThrottlingBurstLimit?: `${number}`;
  /** Requests per second to each method of /proxy before it answers 429. */
  readonly ProxyThrottlingRateLimit?: `${number}`;
  /** Burst that each method of /proxy accepts above its rate. */
  readonly ProxyThrottlingBurstLimit?: `${number}`;
  /** Domain name of the Client API, such as chat.example.com. Turns its execute-api endpoint off. Requires CertificateArn. */
  readonly ClientApiDomainName?: string;
  /** Domain name of the Service API. Turns its execute-api endpoint off. Requires CertificateArn; cannot be combined with ServiceApiVpcEndpointIds. */
  readonly ServiceApiDomainName?: string;
  /** ACM certificate, in this region, that covers the domain names. */
  readonly CertificateArn?: string;
  /** Route 53 zone in which to create a record for each domain name. Leave empty to create none; the outputs show what your own DNS must point to. */
  readonly HostedZoneId?: string;
  /** true publishes each verified webhook on an EventBridge bus of this stack; false only verifies and acknowledges webhooks. */
  readonly EventBus?: 'true' | 'false';
  /** Days that the bus's archive keeps events for replay, and that the bucket keeps bodies too large for the bus. */
  readonly EventRetentionDays?: `${number}`;
  /** true creates an SQS queue that Stream writes events to with an access key that you give it, instead of calling the webhook; they reach the same bus. Requires EventBus. shared-account lets Stream's own AWS account write without a key. Stream has one account for all its customers, so anyone who learns the queue's URL can have their own Stream app write events here. */
  readonly StreamQueue?: 'false' | 'true' | 'shared-account';
  /** Lambda function that answers the hooks for which Stream holds back a message (before message send, custom commands). If empty, every message passes unchanged. */
  readonly HookFunctionArn?: string;
  /** Milliseconds, from the arrival of the hook, that the hook function has to answer. Stream waits 1500 by default. */
  readonly HookTimeoutMs?: `${number}`;
  /** true refuses a message if the hook function gives no usable answer in time; false lets it pass. */
  readonly HookFailClosed?: 'true' | 'false';
  /** Least severe level that the functions log. DEBUG also shows Lambda's own start and report lines. */
  readonly LogLevel?: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  /** true logs the path at Stream of each proxied request, as a record of who did what; false leaves it out, for when ids in paths are personal data that must not be logged. */
  readonly LogStreamPaths?: 'true' | 'false';
  /** Days that logs are kept. */
  readonly LogRetentionDays?: '1' | '3' | '5' | '7' | '14' | '30' | '60' | '90' | '120' | '150' | '180' | '365' | '400' | '545' | '731' | '1096' | '1827' | '2192' | '2557' | '2922' | '3288' | '3653';
  /** true writes access logs of the Service API. Requires a CloudWatch role in the account's API Gateway settings; ManageApiGatewayAccount sets one. */
  readonly ServiceApiAccessLogs?: 'true' | 'false';
  /** true sets the CloudWatch role in the API Gateway settings of this account and region, which all its REST APIs share, and turns on the Service API's access logs. */
  readonly ManageApiGatewayAccount?: 'true' | 'false';
  /** true traces the functions and the Service API with X-Ray. */
  readonly Tracing?: 'true' | 'false';
  /** true creates the alarms and the dashboard (about 4 USD a month); false leaves a stack that costs nothing while idle and whose deployments do not roll back automatically. */
  readonly Monitoring?: 'true' | 'false';
  /** E-mail address for alarms; AWS asks it to confirm. Leave empty for none. */
  readonly AlarmEmail?: string;
  /** SNS topic for alarms, instead of AlarmEmail. Leave empty for none. */
  readonly AlarmTopicArn?: string;
  /** Requests per hour to both APIs together above which an alarm goes off. */
  readonly AlarmRequestsPerHour?: `${number}`;
  /** Estimated cost of a day's requests in USD, at list prices, above which an alarm goes off. */
  readonly AlarmUsdPerDay?: `${number}`;
}
