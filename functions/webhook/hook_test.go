package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/eventbus"
	"chat-service-backend/internal/standin"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/lambdainvoke"
)

const (
	hookARN = "arn:aws:lambda:eu-west-1:123456789012:function:moderation:live"

	// Hooks as Stream documents them.
	beforeSend = `{"message":{"id":"","text":"hello <there>","type":"regular","attachments":[]},"user":{"id":"alice"},` +
		`"channel":{"cid":"messaging:general","type":"messaging"},"request_info":{"type":"client","ip":"192.0.2.1"}}`
	command = `{"message":{"id":"xyz","text":"/ticket it burns","command":"ticket","args":"it burns","type":"regular"},` +
		`"user":{"id":"alice"},"form_data":{"action":"submit"}}`

	closedAnswer = `{"message":{"text":"This message cannot be checked right now. Try again in a moment.","type":"error"}}`
)

// A teamsFunction is the team's own function, behind a stand-in for Lambda.
type teamsFunction struct {
	*standin.Lambda
	url     string
	payload []byte // of the last invocation
}

// answering returns a webhook function whose hooks f answers, and its bus.
func answering(t *testing.T, f func(context.Context) (string, error), environment map[string]string) (http.Handler, *teamsFunction, *awstest.EventBus) {
	t.Helper()
	aws := awstest.NewEventBus(t)
	env := aws.Env(map[string]string{"HOOK_FUNCTION_ARN": hookARN})
	maps.Copy(env, environment)
	team := &teamsFunction{Lambda: &standin.Lambda{ARN: hookARN, Credentials: &standin.Credentials{
		AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"], Region: "eu-west-1", // the hook function's region, not ours
	}}}
	team.Function = func(ctx context.Context, payload []byte) ([]byte, error) {
		team.payload = payload
		answer, err := f(ctx)
		return []byte(answer), err
	}
	server := httptest.NewServer(team)
	server.Config.SetKeepAlivesEnabled(false) // a bubble waits for whoever reads an idle connection
	t.Cleanup(server.Close)
	team.url = server.URL
	env["AWS_ENDPOINT_URL_LAMBDA"] = team.url
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(env))
	return h, team, aws
}

func always(answer string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return answer, nil }
}

func crashing(context.Context) (string, error) { return "", errors.New("as the test wants it") }

func TestHooksAreBodiesWithoutAType(t *testing.T) {
	for body, want := range map[string]string{
		beforeSend: beforeMessageSend,
		command:    customCommand,
		`{"message":{"text":"/ticket","command":"ticket"},"user":{}}`:     customCommand,
		`{"message":{"text":"a","command":"giphy"},"channel":{"id":"1"}}`: beforeMessageSend,
		`{"type":null,"message":{}}`:                                      beforeMessageSend,
		`{"type":"","message":{}}`:                                        beforeMessageSend,
		`{"message":"text","form_data":null}`:                             "",
		`{"Type":"message.new"}`:                                          "",
		`{}`:                                                              "",
		`{"review_queue_item":{"id":"1"},"action":{"type":"ban"}}`:        "", // of moderation
		`{"call_cid":"default:1","call":{}}`:                              "", // of video
		`{"call_cid":"default:1","message":{},"user":{},"channel":{}}`:    "",
		`{"type":"","call_cid":"default:1","message":{},"form_data":{}}`:  "",
		`{"type":null,"fid":"user:1","message":{},"user":{}}`:             "", // of feeds
		`{"review_queue_item":{},"message":{},"user":{}}`:                 "",
		`{"item":{},"message":{},"user":{}}`:                              "",
		`{"created_at":"2026-11-22T20:08:00Z","message":{},"user":{}}`:    "", // of any product
		`{"type":"call.created","message":{}}`:                            "",
		message:                                                           "",
		`{"type":"message.new","form_data":{"a":"b"}}`:                    "",
		`{"type":5,"message":{}}`:                                         "",
		`[{"message":{}}]`:                                                "",
		`null`:                                                            "",
		``:                                                                "",
		`{"message":{"text":"cut off"`:                                    "",
	} {
		if got := newEvent(metadata{}, []byte(body)).hook; got != want {
			t.Errorf("%.80s: want %q, got %q", body, want, got)
		}
	}
}

func TestHookIsPublishedAndAnsweredWithAnEmptyObject(t *testing.T) {
	withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
		wantAcknowledged(t, awstest.Do(h, webhook(beforeSend)))
		wantAcknowledged(t, awstest.Do(h, compressedWebhook(command)))
		wantStored(t, aws, 2, 0)
		wantBody(t, aws.Events()[0], beforeSend)
	})
}

// Stream asks once: a 503 would only keep the message waiting.
func TestHookIsAnsweredWithin200MillisecondsWhateverFails(t *testing.T) {
	const never = -1
	for name, c := range map[string]struct {
		body               string
		bus, queue, bucket time.Duration
		published          int
	}{
		"everything hangs":        {body: beforeSend, bus: never, queue: never, bucket: never},
		"the bus is slow":         {body: command, bus: 150 * time.Millisecond, published: 1},
		"the bus is too slow":     {body: command, bus: 250 * time.Millisecond},
		"bucket and bus are slow": {body: strings.Replace(beforeSend, "hello", strings.Repeat("x", 1<<20), 1), bucket: 110 * time.Millisecond, bus: 110 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			withBus(t, func(t *testing.T, h http.Handler, aws *awstest.EventBus) {
				over(h.(*handler).bus, network{aws, c.bus}, network{aws, c.queue}, network{aws, c.bucket})
				start := time.Now()
				wantAcknowledged(t, awstest.Do(h, webhook(c.body)))
				if took := time.Since(start); took > ownTime {
					t.Errorf("want an answer within %v, got one after %v", ownTime, took)
				}
				wantStored(t, aws, c.published, 0)
			})
		})
	}
}

func TestPanicOfAHookIsItsRequestsAlone(t *testing.T) {
	h, _, aws := answering(t, always("{}"), nil)
	h.(*handler).hooks.invoke = func(context.Context, []byte) ([]byte, error) { panic("as the test wants it") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("want the panic in the goroutine of the request, where it is one failure")
			}
		}()
		awstest.Do(h, webhook(beforeSend))
	}()
	wantStored(t, aws, 1, 0)
}

func TestHookDoesNotWaitLongForParameterStore(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	var h http.Handler
	begin := time.Now().Add(-time.Hour)
	// A bubble has a clock of its own: outside, the credentials are due.
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(begin))
		h = awstest.Handler(t, Build, ssm.Getenv(nil))
	})
	asked, answered := make(chan struct{}), make(chan struct{})
	ssm.Fault.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		close(asked)
		<-answered
	})
	start := time.Now()
	wantAcknowledged(t, awstest.Do(h, webhook(beforeSend)))
	if took := time.Since(start); took > defaultHookTimeout {
		t.Errorf("want an answer before Stream gives up, got one after %v", took)
	}
	<-asked
	close(answered)
}

func TestFunctionGetsTheHookWithItsKindAndMetadata(t *testing.T) {
	h, team, _ := answering(t, always("null"), nil)
	for body, kind := range map[string]string{beforeSend: beforeMessageSend, command: customCommand} {
		wantAcknowledged(t, awstest.Do(h, webhook(body)))
		var payload struct {
			Kind     string
			Metadata metadata
			Event    json.RawMessage
		}
		if err := json.Unmarshal(team.payload, &payload); err != nil {
			t.Fatalf("want JSON, got %s: %v", team.payload, err)
		}
		if payload.Kind != kind || payload.Metadata.WebhookID != "webhook-1" || payload.Metadata.APIKey != key || string(payload.Event) != body {
			t.Errorf("want %s with webhook-1, got %s", kind, team.payload)
		}
	}
}

func TestFunctionIsInvokedForVerifiedHooksOnly(t *testing.T) {
	h, team, _ := answering(t, always(closedAnswer), nil)
	awstest.WantError(t, awstest.Do(h, with(webhook(beforeSend+" "), "X-Signature", sign(secret, beforeSend))), http.StatusUnauthorized)
	wantAcknowledged(t, awstest.Do(h, webhook(message)))
	if team.payload != nil {
		t.Errorf("want no invocation, got %s", team.payload)
	}
}

// answers are what a function may answer, and what Stream gets for a command and,
// if that differs, for a message. "broken" stands for an error.
var answers = map[string]struct{ says, command, message string }{
	"nothing":          {"", "{}", ""},
	"null":             {"null", "{}", ""},
	"an empty text":    {`""`, "{}", ""},
	"an empty object":  {" {}\n", "{}", ""},
	"an empty message": {`{"message":{}}`, "{}", ""},
	"a refusal":        {`{"message":{"type":"error","text":"No <b>, please & thanks"}}`, `{"message":{"text":"No <b>, please & thanks","type":"error"}}`, ""},
	"a rewritten text": {`{"message":{"text":"h***o"}}`, `{"message":{"text":"h***o"}}`, ""},
	"custom fields":    {`{"message":{"score":0.7,"why":null,"tags":[{}]}}`, `{"message":{"score":0.7,"tags":[{}],"why":null}}`, ""},
	"every field of Stream": {`{"message":{"text":"a","type":"regular","i18n":{"en_text":"a"},"show_in_channel":true,"silent":false,"mml":"","attachments":null}}`,
		`{"message":{"attachments":null,"i18n":{"en_text":"a"},"mml":"","show_in_channel":true,"silent":false,"text":"a","type":"regular"}}`, ""},
	"the hook echoed":      {beforeSend, `{"message":{"attachments":[],"id":"","text":"hello <there>","type":"regular"}}`, ""},
	"a key twice":          {`{"message":{"type":"error","type":"regular"}}`, `{"message":{"type":"regular"}}`, ""},
	"a command taken back": {`{"message":null}`, `{"message":null}`, "broken"},

	"not JSON":             {`{"message":{"text":"cut`, "broken", ""},
	"no message":           {`{"text":"h***o"}`, "broken", ""},
	"another case":         {`{"Message":{"text":"a"}}`, "broken", ""},
	"an API's response":    {`{"statusCode":200,"body":"{\"message\":{\"text\":\"a\"}}"}`, "broken", ""},
	"a text as message":    {`{"message":"h***o"}`, "broken", ""},
	"a list as message":    {`{"message":[]}`, "broken", ""},
	"a number as text":     {`{"message":{"text":5}}`, "broken", ""},
	"a text as attachment": {`{"message":{"attachments":["a"]}}`, "broken", ""},
	"numbers as i18n":      {`{"message":{"i18n":{"en_text":5}}}`, "broken", ""},
	"a text as silent":     {`{"message":{"silent":"yes"}}`, "broken", ""},
}

func TestAnswerReachesStreamIfStreamAcceptsIt(t *testing.T) {
	for name, c := range answers {
		for kind, want := range map[string]string{customCommand: c.command, beforeMessageSend: cmp.Or(c.message, c.command)} {
			r, err := newReply(kind, []byte(c.says))
			w := httptest.NewRecorder()
			_ = httpjson.Write(w, http.StatusOK, r)
			if want == "broken" {
				if failed, ok := errors.AsType[*lambdainvoke.Error](err); !ok || failed.Reason != lambdainvoke.Broken {
					t.Errorf("%s, %s: want a broken answer, got %s, %v", name, kind, w.Body, err)
				}
			} else if err != nil || w.Body.String() != want {
				t.Errorf("%s, %s: want %s, got %s, %v", name, kind, want, w.Body, err)
			}
		}
	}
}

func TestWithoutAUsableAnswerTheMessagePassesOrIsRefused(t *testing.T) {
	good := `{"message":{"text":"a"}}`
	// The largest answer, and one byte more.
	largest := `{"message":{"text":"` + strings.Repeat("x", lambdainvoke.MaxAnswer-len(`{"message":{"text":""}}`)) + `"}}`
	for closed, want := range map[string]string{"false": "{}", "true": closedAnswer} {
		f := crashing
		h, team, aws := answering(t, func(ctx context.Context) (string, error) { return f(ctx) }, map[string]string{"HOOK_FAIL_CLOSED": closed})
		// In a bubble, so that nothing is late.
		synctest.Test(t, func(t *testing.T) {
			over(h.(*handler).bus, network{answers: aws}, network{answers: aws}, network{answers: aws})
			wantAnswer(t, awstest.Do(h, webhook(beforeSend)), want)
			for says, want := range map[string]string{`{"message":"broken"}`: want, largest + " ": want, largest: largest, good: good} {
				f = always(says)
				wantAnswer(t, awstest.Do(h, webhook(beforeSend)), want)
			}
			for _, fault := range []standin.Fault{
				standin.HangUp,
				standin.Refuse(http.StatusTooManyRequests, "TooManyRequestsException"),
				func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
					w.WriteHeader(http.StatusAccepted)
					_, _ = io.WriteString(w, good)
				},
				func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
					w.Header().Set("Content-Length", "100") // and breaks off
					_, _ = io.WriteString(w, good)
				},
			} {
				team.Set(fault)
				wantAnswer(t, awstest.Do(h, webhook(command)), want)
			}
			wantStored(t, aws, 9, 0)
		})
	}
}

// The function's time counts from when the hook arrived, and the bus uses its own
// meanwhile.
func TestLateFunctionAndHangingBusTakeNoLongerThanTheTimeout(t *testing.T) {
	for after, want := range map[time.Duration]string{
		1190 * time.Millisecond: `{"message":{"text":"a"}}`,
		1210 * time.Millisecond: "{}",
		-1:                      "{}",
	} {
		h, _, aws := answering(t, nil, nil)
		synctest.Test(t, func(t *testing.T) {
			over(h.(*handler).bus, network{aws, -1}, network{aws, -1}, network{aws, -1})
			h.(*handler).hooks.invoke = func(ctx context.Context, _ []byte) ([]byte, error) {
				var answered <-chan time.Time
				if after >= 0 {
					answered = time.After(after)
				}
				select {
				case <-answered:
					return []byte(`{"message":{"text":"a"}}`), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			start := time.Now()
			wantAnswer(t, awstest.Do(h, webhook(beforeSend)), want)
			if took := time.Since(start); took > defaultHookTimeout {
				t.Errorf("want an answer within %v, got one after %v", defaultHookTimeout, took)
			}
		})
	}
}

func TestFateOfAHookIsCountedAndLogged(t *testing.T) {
	says := always("")
	_, team, aws := answering(t, func(ctx context.Context) (string, error) { return says(ctx) }, nil)
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(aws.Env(map[string]string{
		"HOOK_FUNCTION_ARN": hookARN, "AWS_ENDPOINT_URL_LAMBDA": team.url, "HOOK_TIMEOUT_MS": "300",
	})))
	steps := []struct {
		says   func(context.Context) (string, error)
		fault  standin.Fault
		reason any
	}{
		{always("{}"), nil, nil},
		{always(`{"message":"the-answer"}`), nil, "Broken"},
		{always(strings.Repeat("the-answer", 10<<10)), nil, "TooLarge"},
		{crashing, nil, "Broken"},
		{nil, standin.Refuse(http.StatusTooManyRequests, "TooManyRequestsException"), "Throttled"},
		{nil, standin.Refuse(http.StatusForbidden, "AccessDeniedException"), "NotInvoked"},
		{nil, standin.Hang, "Late"},
		{always(""), nil, nil}, // while the bus fails
	}
	bodies := map[string]string{beforeMessageSend: beforeSend, customCommand: command}
	kinds := []string{beforeMessageSend, customCommand}
	for i, step := range steps {
		says = step.says
		team.Set(step.fault)
		if i == len(steps)-1 {
			aws.Fault[eventbus.EventBridge].Set(standin.Refuse(http.StatusBadRequest, "AccessDeniedException"))
			aws.Fault[eventbus.SQS].Set(standin.Refuse(http.StatusBadRequest, "AccessDenied"))
		}
		_, _ = io.Copy(io.Discard, f.Invoke(awstest.ClientEvent(t, webhook(bodies[kinds[i%2]]), "/webhook")).Body)
	}
	requests, metrics := lines(t, f)
	for i, step := range steps {
		failed := step.reason != nil
		if m, line := metrics[i], requests[i]; m["Reason"] != step.reason || (m["HooksFailed"] == 1.0) != failed || (line["hookFailed"] != nil) != failed || line["hook"] != kinds[i%2] {
			t.Errorf("step %d: want a %s with reason %v counted and logged, got %v and %v", i, kinds[i%2], step.reason, m, line)
		}
	}
	if last := requests[7]; last["level"] != "INFO" || last["notPublished"] == nil || metrics[7]["HooksNotPublished"] != 1.0 {
		t.Errorf("want a hook that was answered but not published, got %v and %v", last, metrics[7])
	}
	if strings.Contains(f.Output(), "the-answer") || strings.Contains(f.Output(), "hello") {
		t.Errorf("want neither hook nor answer in the log, got\n%s", f.Output())
	}
}

func TestFailClosedNeedsAFunction(t *testing.T) {
	getenv := awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(map[string]string{"HOOK_FAIL_CLOSED": "true"})
	if _, err := Build(t.Context(), getenv); err == nil || !strings.HasPrefix(err.Error(), "HOOK_FUNCTION_ARN: not set") {
		t.Errorf("want an error that names HOOK_FUNCTION_ARN, got %v", err)
	}
}

// Whatever a function answers, Stream gets an empty object, or one whose only key
// is a message from the function.
func FuzzAnswerToAHook(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.says), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, isCommand bool) {
		kind := beforeMessageSend
		if isCommand {
			kind = customCommand
		}
		r, err := newReply(kind, body)
		encoded, encodeErr := json.Marshal(r)
		if encodeErr != nil {
			t.Fatal(encodeErr)
		}
		var out map[string]json.RawMessage
		if json.Unmarshal(encoded, &out) != nil || len(out) > 1 {
			t.Fatalf("want one key at most, got %s", encoded)
		}
		if len(out) == 0 {
			return
		}
		var in map[string]json.RawMessage
		if err != nil || json.Unmarshal(body, &in) != nil || in["message"] == nil {
			t.Fatalf("%q: want no message, got %s and %v", body, encoded, err)
		}
		if !isCommand && !bytes.HasPrefix(out["message"], []byte("{")) {
			t.Fatalf("want an object, got %s", encoded)
		}
	})
}
