// The parameters of template.yaml, from which a test generates this file.
export interface Parameters {
  /** dev switches to a new version at once; prod first sends it 10 % of the requests for five minutes, and rolls back on an alarm. */
  readonly Environment?: 'dev' | 'prod';
  /** How many people may open the app within a minute - small for 1,000, medium for 10,000, large for 100,000. Sets the limits of the routes, the concurrency reserved for webhooks, and the thresholds of alarms. */
  readonly Size?: 'small' | 'medium' | 'large';
  /** Overrides Size for each of GET /token, /config and /api-key on the Client API - requests a second, and the burst accepted above them, before it answers 429, as in 20,100. */
  readonly ClientApiLimit?: string;
  /** Overrides Size for the webhooks that Stream sends - requests a second and burst, and optionally how many at once, reserved from the account's concurrency so that nothing else can use it up, as in 50,500 or 50,500,20. Over the first two, Stream gets 429 and tries again, at most three times. */
  readonly WebhookLimit?: string;
  /** Overrides Size for each route of the Service API, and for each method of /proxy - requests a second and burst, as in 100,500. */
  readonly ServiceApiLimit?: string;
  /** Path in SSM Parameter Store that holds stream/api-key, stream/api-secret and client-config/<clientType>. Begins with a slash and does not end with one. */
  readonly ParameterPrefix?: string;
  /** Seconds that a value from SSM is used before it is fetched again, 1 to 99999. A rotated secret takes effect after this time. */
  readonly ParameterTtl?: string;
  /** Customer-managed KMS key that encrypts stream/api-secret, logs, queues, the bucket and the topic for alarms; docs/security.md has the policy that it needs. Leave empty for keys of AWS. */
  readonly KmsKeyArn?: string;
  /** Policy that limits every role and user of the stack, whatever their own policies say. The pipeline's role (deploy/ci.yaml) can deploy only with its own. */
  readonly PermissionsBoundaryArn?: string;
  /** URL of Stream's REST API. Must be https, except for a stand-in on a loopback address. */
  readonly StreamBaseUrl?: string;
  /** Seconds that a user token is valid. Leave empty for tokens that never expire. */
  readonly ExpirationTokenDuration?: string;
  /** OpenID Connect issuer of the bearer tokens that identify callers of the Client API, exactly as in iss. Empty identifies nobody. Other names of it follow after a vertical bar, further issuers after commas as prefix=issuer. */
  readonly OidcIssuer?: string;
  /** Audiences (aud, or client_id without one) of which a bearer token must have one, separated by commas; <audience>+azp:<client> for that client's tokens only, azp:<client> for any audience, machine:<client> for those it got for itself. Required with OidcIssuer. */
  readonly OidcAudience?: string;
  /** URL below which the issuer serves .well-known/openid-configuration, if it is not the issuer's own. The document must still name the issuer. */
  readonly OidcDiscoveryUrl?: string;
  /** URL of the issuer's keys (a JSON Web Key Set), for an issuer without metadata. Saves a request at each start in any case. */
  readonly OidcJwksUrl?: string;
  /** Seconds from iat to exp that a bearer token may be valid. Tokens valid for longer are refused as refresh tokens. */
  readonly MaxTokenLifetime?: `${number}`;
  /** Claims that a bearer token must have besides, as claim=value, separated by commas; several values of a claim are separated by a vertical bar. Other users get a 403. */
  readonly RequiredClaims?: string;
  /** Claim of a bearer token that holds the user's id. */
  readonly UserIdClaim?: string;
  /** Lambda function with a rule of your own for users who sign in - whether, as whom, with which name, teams and role. If empty, the settings alone decide. */
  readonly SignInFunctionArn?: string;
  /** true answers 503 to users if the sign-in function gives no usable answer in 3 s; false lets the settings alone decide. */
  readonly SignInFailClosed?: 'true' | 'false';
  /** true creates or updates the user at Stream at sign-in, with the fields in UserFields, and refuses users whom Stream refuses. Costs up to one call to Stream per user and minute, in each process of token and config. */
  readonly SyncUsers?: 'true' | 'false';
  /** With SyncUsers, false refuses users who do not exist at Stream, with a 403, instead of creating them. */
  readonly CreateUsers?: 'true' | 'false';
  /** With SyncUsers, which users do not get a token, out of banned, deactivated and deleted; none for nobody. Stream itself refuses only those who are deactivated. */
  readonly RefuseUsers?: string;
  /** With SyncUsers, the fields of the user at Stream and the claims they come from, as field=claim, separated by commas. May include teams and role; a role is never admin. */
  readonly UserFields?: string;
  /** With SyncUsers, true asks the issuer's userinfo endpoint, once for a token, for claims in UserFields that the token lacks. */
  readonly UserInfo?: 'true' | 'false';
  /** Web origins that may call the Client API (CORS), separated by commas without spaces. An asterisk allows any origin; leave empty to allow none. */
  readonly AllowedOrigins?: string;
  /** Request headers that web clients may send to the Client API (CORS) besides authorization, content-type and those of tracing (OpenTelemetry, Sentry, Datadog), in lower case, separated by commas without spaces. An asterisk allows any but authorization. */
  readonly AllowedHeaders?: string;
  /** Key of the error object in /config's response to an unknown caller. */
  readonly ErrorObjKey?: string;
  /** Domain name of the Client API, such as chat.example.com. Turns its execute-api endpoint off, unless KeepExecuteApi is true. Requires CertificateArn. */
  readonly ClientApiDomainName?: string;
  /** Domain name of the Service API. Turns its execute-api endpoint off, unless KeepExecuteApi is true. Requires CertificateArn; cannot be combined with ServiceApiVpcEndpointIds. */
  readonly ServiceApiDomainName?: string;
  /** ACM certificate, in this region, that covers the domain names. */
  readonly CertificateArn?: string;
  /** true leaves the execute-api endpoint of an API with a domain name open, until every client uses the domain; never closes the Client API's without one, for a domain of another stack (deploy/edge.yaml). */
  readonly KeepExecuteApi?: 'true' | 'false' | 'never';
  /** Header that names the user on the Service API. If the header holds a JSON object, add the path of the field after a dot, as in miauserproperties._id. */
  readonly UserIdHeaderKey?: string;
  /** VPC endpoints for execute-api (vpce-...), separated by commas. If set, the Service API is private and accepts requests through these endpoints only. */
  readonly ServiceApiVpcEndpointIds?: string;
  /** Other AWS accounts whose roles may call the Service API, separated by commas. Those roles also need an IAM policy of their own. */
  readonly ServiceApiAccountIds?: string;
  /** with-role writes access logs of the Service API and sets the role that they need in the account's API Gateway settings, which all REST APIs of the account and region share; true leaves those settings alone, for an account that has such a role; false writes none. */
  readonly ServiceApiAccessLogs?: 'with-role' | 'true' | 'false';
  /** End of the path of the address that Stream calls, after the stack's id, which nobody can guess either. Another value makes another address; see docs/ops.md before you change it. */
  readonly WebhookPath?: string;
  /** Other AWS accounts whose roles may read the bodies in the bucket, separated by commas. Those roles also need an IAM policy of their own. */
  readonly EventReaderAccountIds?: string;
  /** true creates an SQS queue that Stream writes events to with an access key that you give it, instead of calling the webhook; they reach the same bus. */
  readonly StreamQueue?: 'true' | 'false';
  /** Lambda function that answers the hooks for which Stream holds back a message (before message send, custom commands). If empty, every message passes unchanged. */
  readonly HookFunctionArn?: string;
  /** Milliseconds, from the arrival of the hook, that the hook function has to answer. Stream waits 1500 by default. */
  readonly HookTimeoutMs?: `${number}`;
  /** true refuses a message if the hook function gives no usable answer in time; false lets it pass. */
  readonly HookFailClosed?: 'true' | 'false';
  /** Least severe level that the functions log. DEBUG also shows Lambda's own start and report lines. */
  readonly LogLevel?: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  /** Days that logs are kept, that the bus's archive keeps events for replay, and that the bucket keeps bodies too large for the bus. */
  readonly RetentionDays?: '1' | '3' | '5' | '7' | '14' | '30' | '60' | '90' | '120' | '150' | '180' | '365' | '400' | '545' | '731' | '1096' | '1827' | '2192' | '2557' | '2922' | '3288' | '3653';
  /** true traces the functions and the Service API with X-Ray. */
  readonly Tracing?: 'true' | 'false';
  /** true creates the alarms and the dashboard (5 to 8 USD a month); false leaves a stack that costs nothing while idle and whose deployments do not roll back automatically. */
  readonly Monitoring?: 'true' | 'false';
  /** E-mail address for alarms; AWS asks it to confirm. A second one after a comma gets those that can wait for working hours. */
  readonly AlarmEmail?: string;
  /** SNS topic for alarms, instead of AlarmEmail. A second one after a comma gets those that can wait for working hours. */
  readonly AlarmTopicArn?: string;
  /** Hours without an event from Stream after which an alarm goes off, 0 for none. Choose more than your quietest stretch, a night or a weekend. */
  readonly NoEventsHours?: `${number}`;
}
