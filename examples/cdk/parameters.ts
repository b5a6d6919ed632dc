// The parameters of template.yaml, from which a test generates this file.
export interface Parameters {
  /** dev switches to a new version at once; prod first sends it 10 % of the requests for five minutes, and rolls back on an alarm. */
  readonly Environment?: 'dev' | 'prod';
  /** How many people may open the app within a minute - small for 1,000, medium for 10,000, large for 100,000. Sets limits, concurrency and alarms. */
  readonly Size?: 'small' | 'medium' | 'large';
  /** Overrides Size for each of GET /token, /config and /api-key - requests a second and burst, as in 20,100. */
  readonly ClientApiLimit?: string;
  /** Overrides Size for Stream's webhooks - requests a second, burst, and optionally the concurrency reserved for them, as in 50,500,20. */
  readonly WebhookLimit?: string;
  /** Overrides Size for each route of the Service API and each method of /proxy, as in 100,500. */
  readonly ServiceApiLimit?: string;
  /** Path in Parameter Store of stream/api-key, stream/api-secret and client-config/<clientType>. Empty for /<name of the stack>. */
  readonly ParameterPrefix?: string;
  /** Seconds that a value from Parameter Store is used before it is fetched again, and so until a rotated secret takes effect. */
  readonly ParameterTtl?: string;
  /** Customer-managed KMS key for stream/api-secret, logs, queues, bucket and topic; docs/security.md has its policy. */
  readonly KmsKeyArn?: string;
  /** Policy that limits every role and user of the stack. A pipeline's role (deploy/ci.yaml) deploys only with its own. */
  readonly PermissionsBoundaryArn?: string;
  /** Stream's REST API; https, except on loopback. */
  readonly StreamBaseUrl?: string;
  /** Seconds that a user token is valid. If empty, it never expires. */
  readonly ExpirationTokenDuration?: string;
  /** Issuer of the bearer tokens that identify callers of the Client API, exactly as in iss. Other names of it after a vertical bar, further issuers after commas as prefix=issuer. */
  readonly OidcIssuer?: string;
  /** Audiences (aud, or client_id without one) of which a bearer token must have one; azp:<client> accepts every token issued to that client, machine:<client> those that it gets for itself. OidcIssuer needs it. */
  readonly OidcAudience?: string;
  /** URL below which the issuer serves .well-known/openid-configuration, if it is not the issuer's own. */
  readonly OidcDiscoveryUrl?: string;
  /** URL of the issuer's keys (a JSON Web Key Set), for an issuer without metadata. */
  readonly OidcJwksUrl?: string;
  /** Two numbers of seconds: how long a bearer token may be valid, iat to exp (longer ones are refused as refresh tokens), and how old an issuer's keys may get. */
  readonly MaxTokenLifetime?: string;
  /** Claims that a bearer token must have besides, as claim=value or claim=one|other. Other users get a 403. */
  readonly RequiredClaims?: string;
  /** Claim of a bearer token that holds the user's id. */
  readonly UserIdClaim?: string;
  /** Lambda function with a rule of your own for users who sign in. */
  readonly SignInFunctionArn?: string;
  /** true answers 503 if the sign-in function gives no usable answer in 2 s; false lets the settings alone decide. */
  readonly SignInFailClosed?: 'true' | 'false';
  /** true creates or updates the user at Stream at sign-in, with UserFields, and refuses RefuseUsers. */
  readonly SyncUsers?: 'true' | 'false';
  /** With SyncUsers, false refuses users who do not exist at Stream, with a 403. */
  readonly CreateUsers?: 'true' | 'false';
  /** With SyncUsers, users whom we, not Stream, refuse; none for nobody. */
  readonly RefuseUsers?: string;
  /** With SyncUsers, fields of the user at Stream and the claims they come from, as field=claim; teams and role too. */
  readonly UserFields?: string;
  /** With SyncUsers, true asks the issuer's userinfo endpoint for claims in UserFields that a token lacks. */
  readonly UserInfo?: 'true' | 'false';
  /** Web origins that may call the Client API (CORS); * for any, empty for none. */
  readonly AllowedOrigins?: string;
  /** Request headers, in lower case, that web clients may send (CORS) besides authorization, content-type and those of tracing; * for any but authorization. */
  readonly AllowedHeaders?: string;
  /** Key of the error object in /config's response to an unknown caller. */
  readonly ErrorObjKey?: string;
  /** Domain name of the Client API, such as chat.example.com; turns its execute-api endpoint off. Needs CertificateArn. */
  readonly ClientApiDomainName?: string;
  /** Domain name of the Service API, unless it is private; turns its execute-api endpoint off. Needs CertificateArn. */
  readonly ServiceApiDomainName?: string;
  /** ACM certificate, in this region, that covers the domain names. */
  readonly CertificateArn?: string;
  /** true leaves the execute-api endpoint of an API with a domain open; "never" closes the Client API's, whose domain another stack has (deploy/edge.yaml). */
  readonly KeepExecuteApi?: 'true' | 'false' | 'never';
  /** Header that names the user on the Service API; of a JSON object in it the field after a dot, as in miauserproperties._id. */
  readonly UserIdHeaderKey?: string;
  /** VPC endpoints for execute-api (vpce-...); makes the Service API private, for these alone. */
  readonly ServiceApiVpcEndpointIds?: string;
  /** Other AWS accounts whose roles may call the Service API; those roles need a policy of their own. */
  readonly ServiceApiAccountIds?: string;
  /** with-role writes access logs of the Service API and sets the role that they need in the region's API Gateway settings, which all REST APIs share; true leaves those alone; false writes none. */
  readonly ServiceApiAccessLogs?: 'with-role' | 'true' | 'false';
  /** End of the address that Stream calls, after the stack's id. make rotate with -webhook changes it. */
  readonly WebhookPath?: string;
  /** Other AWS accounts whose roles may read bodies in the bucket; those roles need a policy of their own. */
  readonly EventReaderAccountIds?: string;
  /** true creates an SQS queue that Stream writes events to instead of calling the webhook; they reach the same bus. */
  readonly StreamQueue?: 'true' | 'false';
  /** Lambda function that answers the hooks for which Stream holds back a message. If empty, every message passes. */
  readonly HookFunctionArn?: string;
  /** Milliseconds that the hook function has to answer. Stream waits 1500 by default. */
  readonly HookTimeoutMs?: `${number}`;
  /** true refuses a message if the hook function gives no usable answer in time; false lets it pass. */
  readonly HookFailClosed?: 'true' | 'false';
  /** Least severe level that the functions log. DEBUG also shows Lambda's start and report lines. */
  readonly LogLevel?: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  /** Days that logs, the bus's archive and bodies too large for the bus are kept. */
  readonly RetentionDays?: '1' | '3' | '5' | '7' | '14' | '30' | '60' | '90' | '120' | '150' | '180' | '365' | '400' | '545' | '731' | '1096' | '1827' | '2192' | '2557' | '2922' | '3288' | '3653';
  /** true traces the functions and the Service API with X-Ray. */
  readonly Tracing?: 'true' | 'false';
  /** true creates the alarms and the dashboard (5 to 8 USD a month); so do two numbers, requests an hour and USD a day, which override Size's alarms; false costs nothing while idle. */
  readonly Monitoring?: string;
  /** E-mail address for alarms, which AWS asks to confirm, or the ARN of an SNS topic; a second one of the same kind gets those that can wait for working hours. */
  readonly AlarmTarget?: string;
  /** Hours without an event from Stream after which an alarm goes off, 0 for none; more than your quietest stretch. */
  readonly NoEventsHours?: `${number}`;
}
