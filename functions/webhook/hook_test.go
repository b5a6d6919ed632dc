package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/lambdaapi"
	"chat-service-backend/internal/standin"
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

// A hookFunction is a function of the team's own, behind what plays Lambda.
type hookFunction struct {
	*lambdaapi.API
	url         string
	connections atomic.Int64 // that were opened to it
	payload     []byte       // what it was invoked with last
}

// answering is a webhook function whose hooks a function answers, and what plays
// its bus.
func answering(t *testing.T, f func(context.Context) (string, error), environment map[string]string) (http.Handler, *hookFunction, *awstest.EventBus) {
	t.Helper()
	aws := awstest.NewEventBus(t)
	env := aws.Env(map[string]string{"HOOK_FUNCTION_ARN": hookARN})
	for name, value := range environment {
		env[name] = value
	}
	team := &hookFunction{API: &lambdaapi.API{ARN: hookARN, Credentials: &standin.Credentials{
		AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"], Region: "eu-west-1", // the function's, not ours
	}}}
	team.Function = func(ctx context.Context, payload []byte) ([]byte, error) {
		team.payload = payload
		answer, err := f(ctx)
		return []byte(answer), err
	}
	server := httptest.NewUnstartedServer(team)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			team.connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	team.url = server.URL
	env["AWS_ENDPOINT_URL_LAMBDA"] = team.url
	h := awstest.Handler(t, build, awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(env))
	return h, team, aws
}

func always(answer string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return answer, nil }
}

func failing(context.Context) (string, error) { return "", errors.New("as the test wants it") }

func wantAnswer(t testing.TB, response *http.Response, want string) {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("want status 200 and %s, got %d and %.300s", want, response.StatusCode, body)
	}
}

func TestHooksAreKnownByHavingNoType(t *testing.T) {
	for body, want := range map[string]string{
		beforeSend: beforeMessageSend,
		command:    customCommand,
		`{"message":{"text":"/ticket","command":"ticket"},"user":{}}`:     customCommand,
		`{"message":{"text":"a","command":"giphy"},"channel":{"id":"1"}}`: beforeMessageSend,
		`{"type":null,"message":{}}`:                                      beforeMessageSend,
		`{"type":"","message":{}}`:                                        beforeMessageSend,
		`{"message":"text","form_data":null}`:                             beforeMessageSend,
		`{"Type":"message.new"}`:                                          beforeMessageSend,
		`{}`:                                                              beforeMessageSend,
		message:                                                           "",
		`{"type":"message.new","form_data":{"a":"b"}}`:                    "",
		`{"type":5,"message":{}}`:                                         "",
		`[{"message":{}}]`:                                                "",
		`null`:                                                            "",
		``:                                                                "",
		`{"message":{"text":"cut off"`:                                    "",
		`{"type":"` + strings.Repeat("x", 200) + `"}`:                     "",
	} {
		if got := newEvent(http.Header{}, viaWebhook, key, []byte(body)).hook; got != want {
			t.Errorf("%.80s: want %q, got %q", body, want, got)
		}
	}
}

func TestHookIsPublishedAndAnsweredWithAnEmptyObject(t *testing.T) {
	h, aws := publisher(t)
	wantAcknowledged(t, awstest.Do(h, webhook(beforeSend)))
	wantAcknowledged(t, awstest.Do(h, compressedWebhook(command)))
	published := aws.Events()
	if len(published) != 2 || published[0].DetailType != untyped {
		t.Fatalf("want two untyped events on the bus, got %v", published)
	}
	wantBody(t, published[0], beforeSend)
}

// Stream asks once: 503 would bring nobody back, and keep the message waiting.
func TestHookIsAnsweredWithin200MillisecondsWhateverFails(t *testing.T) {
	const never = -1
	large := strings.Replace(beforeSend, "hello", strings.Repeat("x", 300<<10), 1)
	for name, c := range map[string]struct {
		body              string
		bus, queue, store time.Duration
		published, queued int
	}{
		"the bus hangs":           {body: beforeSend, bus: never},
		"everything hangs":        {body: beforeSend, bus: never, queue: never, store: never},
		"the bus is slow":         {body: command, bus: 150 * time.Millisecond, published: 1},
		"the bus is too slow":     {body: command, bus: 250 * time.Millisecond},
		"the bucket hangs":        {body: large, store: never},
		"bucket and bus are slow": {body: large, store: 110 * time.Millisecond, bus: 110 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			h, aws := publisher(t)
			synctest.Test(t, func(t *testing.T) {
				over(h.(*handler).bus, network{aws, c.bus}, network{aws, c.queue}, network{aws, c.store})
				start := time.Now()
				wantAcknowledged(t, awstest.Do(h, webhook(c.body)))
				if took := time.Since(start); took > ownTime {
					t.Errorf("want an answer within %v, got one after %v", ownTime, took)
				}
				if len(aws.Events()) != c.published || len(aws.Messages()) != c.queued {
					t.Errorf("want %d on the bus and %d in the queue, got %v and %v", c.published, c.queued, aws.Events(), aws.Messages())
				}
			})
		})
	}
}

// An event may wait for the queue: Stream would send it again.
func TestEventWithATypeStillTakesItsTime(t *testing.T) {
	h, aws := publisher(t)
	synctest.Test(t, func(t *testing.T) {
		over(h.(*handler).bus, network{aws, -1}, network{aws, 0}, network{aws, 0})
		wantAcknowledged(t, awstest.Do(h, webhook(message)))
		if len(aws.Messages()) != 1 {
			t.Errorf("want the event in the queue, got %v", aws.Messages())
		}
	})
}

func TestParameterStoreThatHangsDoesNotHoldAHook(t *testing.T) {
	t.Parallel()
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	h := awstest.Handler(t, build, ssm.Getenv(map[string]string{"PARAMETER_TTL": "1"}))
	asked, gaveUp := make(chan struct{}), make(chan struct{})
	ssm.Fault.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		close(asked)
		standin.Hang(w, r, next)
		close(gaveUp)
	})
	for isAsked := false; !isAsked; {
		wantAcknowledged(t, awstest.Do(h, webhook(beforeSend)))
		select {
		case <-asked:
			isAsked = true
		default:
		}
	}
	select {
	case <-gaveUp:
		t.Error("want an answer before the fetch from Parameter Store ends, got one after it")
	default:
	}
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

func TestFunctionIsAskedForVerifiedHooksAlone(t *testing.T) {
	h, team, _ := answering(t, always(closedAnswer), nil)
	forged := webhook(beforeSend + " ")
	forged.Header.Set("X-Signature", sign(secret, beforeSend))
	awstest.WantError(t, awstest.Do(h, forged), http.StatusUnauthorized)
	wantAcknowledged(t, awstest.Do(h, webhook(message)))
	if team.payload != nil {
		t.Errorf("want no call, got %s", team.payload)
	}
}

// answers are what a function may say, and what Stream gets.
var answers = map[string]struct{ says, command, message string }{
	"nothing":          {"", "{}", "{}"},
	"null":             {"null", "{}", "{}"},
	"an empty text":    {`""`, "{}", "{}"},
	"an empty object":  {" {}\n", "{}", "{}"},
	"an empty message": {`{"message":{}}`, "{}", "{}"},
	"a refusal":        {`{"message":{"type":"error","text":"No <b>, please & thanks"}}`, `{"message":{"text":"No <b>, please & thanks","type":"error"}}`, ""},
	"a rewritten text": {`{"message":{"text":"h***o"}}`, `{"message":{"text":"h***o"}}`, ""},
	"custom fields":    {`{"message":{"score":0.7,"why":null,"tags":[{}]}}`, `{"message":{"score":0.7,"tags":[{}],"why":null}}`, ""},
	"all that Stream has": {`{"message":{"text":"a","type":"regular","i18n":{"en_text":"a"},"show_in_channel":true,"silent":false,"mml":"","attachments":null}}`,
		`{"message":{"attachments":null,"i18n":{"en_text":"a"},"mml":"","show_in_channel":true,"silent":false,"text":"a","type":"regular"}}`, ""},
	"the hook as it came":  {beforeSend, `{"message":{"attachments":[],"id":"","text":"hello <there>","type":"regular"}}`, ""},
	"a key twice":          {`{"message":{"type":"error","type":"regular"}}`, `{"message":{"type":"regular"}}`, ""},
	"a command taken back": {`{"message":null}`, `{"message":null}`, "broken"},

	"no JSON":              {`{"message":{"text":"cut`, "broken", ""},
	"text":                 {`"a message"`, "broken", ""},
	"a list":               {`[{"message":{}}]`, "broken", ""},
	"no message":           {`{"text":"h***o"}`, "broken", ""},
	"another case":         {`{"Message":{"text":"a"}}`, "broken", ""},
	"an API's answer":      {`{"statusCode":200,"body":"{\"message\":{\"text\":\"a\"}}"}`, "broken", ""},
	"a text as message":    {`{"message":"h***o"}`, "broken", ""},
	"a list as message":    {`{"message":[]}`, "broken", ""},
	"a number as text":     {`{"message":{"text":5}}`, "broken", ""},
	"a number as type":     {`{"message":{"type":5}}`, "broken", ""},
	"a text as attachment": {`{"message":{"attachments":["a"]}}`, "broken", ""},
	"numbers as i18n":      {`{"message":{"i18n":{"en_text":5}}}`, "broken", ""},
	"a text as silent":     {`{"message":{"silent":"yes"}}`, "broken", ""},
	"one byte too many":    {`{"message":{"text":"` + strings.Repeat("x", maxHookAnswer-len(`{"message":{"text":""}}`)+1) + `"}}`, "broken", ""},
	"five megabytes":       {`{"message":{"text":"` + strings.Repeat("x", 5<<20) + `"}}`, "broken", ""},
}

func TestFunctionsAnswerReachesStreamIfStreamTakesIt(t *testing.T) {
	for _, closed := range []string{"false", "true"} {
		says := ""
		h, _, _ := answering(t, func(context.Context) (string, error) { return says, nil }, map[string]string{"HOOK_FAIL_CLOSED": closed})
		for name, c := range answers {
			says = c.says
			for body, want := range map[string]string{command: c.command, beforeSend: c.message} {
				if want == "" {
					want = c.command // for both alike
				}
				if want == "broken" {
					want = map[string]string{"false": "{}", "true": closedAnswer}[closed]
				}
				t.Run(closed+" "+name, func(t *testing.T) { wantAnswer(t, awstest.Do(h, webhook(body)), want) })
			}
		}
	}
}

func TestFunctionThatDoesNotAnswerLeavesStreamWithAnEmptyObjectOrARefusal(t *testing.T) {
	status := func(status int) standin.Fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"message":{"text":"not an answer"}}`))
		}
	}
	for closed, want := range map[string]string{"false": "{}", "true": closedAnswer} {
		h, team, aws := answering(t, failing, map[string]string{"HOOK_FAIL_CLOSED": closed, "HOOK_TIMEOUT_MS": "100"})
		for name, fault := range map[string]standin.Fault{
			"failing": nil, "hanging": standin.Hang, "hanging up": standin.HangUp,
			"throttled": standin.Refuse(429, "TooManyRequestsException"), "missing": standin.Refuse(404, "ResourceNotFoundException"), "accepted": status(202),
			"breaking off": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Content-Length", "100")
				_, _ = w.Write([]byte(`{"message":{"text":"a"}}`))
			},
		} {
			t.Run(closed+" "+name, func(t *testing.T) {
				team.Set(fault)
				for _, body := range []string{beforeSend, command} {
					wantAnswer(t, awstest.Do(h, webhook(body)), want)
				}
			})
		}
		if len(aws.Events()) != 14 {
			t.Errorf("want every hook on the bus, got %d", len(aws.Events()))
		}
	}
}

// The function's time counts from when the hook came in, and the bus has its own
// meanwhile.
func TestLateFunctionAndHangingBusTakeNoMoreThanTheTimeout(t *testing.T) {
	for after, want := range map[time.Duration]string{
		1190 * time.Millisecond: `{"message":{"text":"a"}}`,
		1210 * time.Millisecond: "{}",
		-1:                      "{}",
	} {
		h, team, aws := answering(t, always(`{"message":{"text":"a"}}`), nil)
		synctest.Test(t, func(t *testing.T) {
			over(h.(*handler).bus, network{aws, -1}, network{aws, -1}, network{aws, -1})
			h.(*handler).hooks.client.Transport = network{team, after}
			start := time.Now()
			wantAnswer(t, awstest.Do(h, webhook(beforeSend)), want)
			if took := time.Since(start); took > defaultHookTimeout {
				t.Errorf("want an answer within %v, got one after %v", defaultHookTimeout, took)
			}
		})
	}
}

// There is no time to find out that a kept connection died while Lambda had the
// process stopped.
func TestConnectionToTheFunctionIsKeptForAMomentOnly(t *testing.T) {
	h, team, _ := answering(t, always("{}"), nil)
	for range 3 {
		wantAcknowledged(t, awstest.Do(h, webhook(beforeSend)))
	}
	if got := team.connections.Load(); got != 1 {
		t.Errorf("want one connection for hooks close together, got %d", got)
	}
	h.(*handler).hooks.used.Add(-int64(2 * idleTime))
	wantAcknowledged(t, awstest.Do(h, webhook(beforeSend)))
	if got := team.connections.Load(); got != 2 {
		t.Errorf("want a new connection after a pause, got %d", got)
	}
}

func TestWhatBecameOfAHookIsCountedAndLogged(t *testing.T) {
	says := always("{}")
	_, team, aws := answering(t, func(ctx context.Context) (string, error) { return says(ctx) }, nil)
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App(key, secret)).Env(aws.Env(map[string]string{
		"HOOK_FUNCTION_ARN": hookARN, "AWS_ENDPOINT_URL_LAMBDA": team.url, "HOOK_TIMEOUT_MS": "300",
	})))
	deliver := func(body string) {
		_, _ = io.ReadAll(f.Invoke(awstest.ClientEvent(t, webhook(body), "/webhook")).Body)
	}
	deliver(beforeSend)
	says = always(`{"message":"the-answer"}`)
	deliver(beforeSend)
	says = always(strings.Repeat("the-answer", 1<<20))
	deliver(command)
	says = failing
	deliver(command)
	team.Set(standin.Refuse(429, "TooManyRequestsException"))
	deliver(beforeSend)
	team.Set(standin.Refuse(403, "AccessDeniedException"))
	deliver(beforeSend)
	team.Set(standin.Hang)
	deliver(beforeSend)
	aws.Fail(awstest.EventBridge, http.StatusBadRequest, "AccessDeniedException")
	aws.Fail(awstest.SQS, http.StatusBadRequest, "AccessDenied")
	team.Set(nil)
	says = always("")
	deliver(beforeSend)

	requests, metrics := lines(t, f)
	var reasons, kinds []any
	for i := range metrics {
		reasons, kinds = append(reasons, metrics[i]["Reason"]), append(kinds, requests[i]["hook"])
		if failed := metrics[i]["HooksFailed"] == 1.0; failed != (metrics[i]["Reason"] != nil) || failed != (requests[i]["hookFailed"] != nil) {
			t.Errorf("want a count, a reason and a cause together, got %v and %v", metrics[i], requests[i])
		}
	}
	if want := []any{nil, "Broken", "TooLarge", "Broken", "Throttled", "NotInvoked", "Late", nil}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("want reasons %v, got %v", want, reasons)
	}
	if want := []any{beforeMessageSend, beforeMessageSend, customCommand, customCommand, beforeMessageSend, beforeMessageSend, beforeMessageSend, beforeMessageSend}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("want kinds %v, got %v", want, kinds)
	}
	if last := requests[7]; last["level"] != "INFO" || last["notPublished"] == nil || metrics[7]["HooksNotPublished"] != 1.0 {
		t.Errorf("want a hook that was answered and not published, got %v and %v", last, metrics[7])
	}
	if strings.Contains(f.Output(), "the-answer") || strings.Contains(f.Output(), "hello") {
		t.Errorf("want nothing of hook or answer in the log, got\n%s", f.Output())
	}
}

func TestFailClosedNeedsAFunction(t *testing.T) {
	getenv := awstest.NewParameterStore(t, awstest.App(key, secret)).Getenv(map[string]string{"HOOK_FAIL_CLOSED": "true"})
	if _, err := build(t.Context(), getenv); err == nil || !strings.HasPrefix(err.Error(), "HOOK_FUNCTION_ARN: want ") {
		t.Errorf("want an error that names HOOK_FUNCTION_ARN, got %v", err)
	}
}

// Whatever a function says, Stream gets an empty object, or one whose only key is
// a message that the function meant.
func FuzzAnswerToAHook(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.says), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, isCommand bool) {
		kind := beforeMessageSend
		if isCommand {
			kind = customCommand
		}
		r, err := read(kind, body)
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
