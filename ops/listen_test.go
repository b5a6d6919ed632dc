package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"chat-service-backend/ops/listen"
)

// listening runs listen until ctx ends, and returns what it has printed then.
func (l tool) listening(t *testing.T, ctx context.Context, args ...string) (screen *screen, ended chan int) {
	t.Helper()
	screen, ended = newScreen(), make(chan int, 1)
	e := environment{getenv: func(string) string { return "" }, loadAWS: l.aws, dir: l.dir, stdin: strings.NewReader(""), stdout: screen, stderr: screen}
	go func() { ended <- e.run(ctx, append([]string{"listen"}, args...)) }()
	return screen, ended
}

// shows waits until a screen shows a text.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.changed:
		case <-ctx.Done():
			t.Fatalf("want %q, got\n%s", text, s)
		}
	}
}

// An ear is a local address that keeps what it gets.
func ear(t *testing.T, status int) (url string, got chan string) {
	got = make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(status)
		got <- string(body)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/stream", got
}

func testListen(t *testing.T, w *world, d *deployment) {
	ctx, ctrlC := context.WithCancelCause(t.Context())
	url, got := ear(t, 500)                                                                                            // an app that fails ends nothing
	screen, ended := d.tool.listening(t, ctx, "-stack", "chat", "-forward", url, "-types", "channel.updated,member.*") // redrive's test publishes other types meanwhile
	screen.shows(t, "Ready.")
	d.run("", "trigger", "typing.start").want(t, 0, "--> typing.start", "<-- [200] POST "+w.client+"/webhook")
	var want []string
	for i, eventType := range []string{"channel.updated", "member.added", "channel.updated"} {
		d.run("", "trigger", "-data", fmt.Sprintf(`{"n":%d}`, i), eventType).want(t, 0, "--> "+eventType)
		want = append(want, fmt.Sprint(eventType, i))
	}
	for _, want := range want {
		var e struct {
			Type   string `json:"detail-type"`
			Detail struct{ Event struct{ N int } }
		}
		if err := json.Unmarshal([]byte(<-got), &e); err != nil || fmt.Sprint(e.Type, e.Detail.Event.N) != want {
			t.Errorf("want %s in order, got %+v, %v", want, e, err)
		}
	}
	screen.shows(t, "  <-- [500] POST "+url)
	ctrlC(errCtrlC)
	if status := <-ended; status != 0 {
		t.Errorf("want status 0, got %d\n%s", status, screen)
	}
	screen.shows(t, "3 events. Nothing is left behind.")
	d.run("", "trigger", "message.nwe").want(t, 0, "did you mean message.new?")

	rules, err := eventbridge.NewFromConfig(w.aws).ListRules(t.Context(), &eventbridge.ListRulesInput{EventBusName: aws.String(bus), NamePrefix: aws.String("chat-listen")})
	if err != nil || len(rules.Rules) > 0 {
		t.Errorf("want no rule left, got %v %v", err, rules)
	}
	queues, err := sqs.NewFromConfig(w.aws).ListQueues(t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("chat-listen")})
	if err != nil || len(queues.QueueUrls) > 0 {
		t.Errorf("want no queue left, got %v %v", err, queues)
	}
}

func TestListenGoesOnAfterALostNetworkAndRemovesWhatItMade(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	ctx, ctrlC := context.WithCancelCause(t.Context())
	received, deletions := 0, 0
	d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
		switch r.Header.Get("X-Amz-Target") {
		case "AWSEvents.ListRules": // of a listener whose machine never came back, and of one at work
			fmt.Fprintf(w, `{"Rules":[{"Name":"chat-listen-old","Description":"Of the operator's tool, which removes it. Safe to remove after 2026-01-01T00:00:00Z"},
				{"Name":"chat-listen-busy","Description":"Of the operator's tool, which removes it. Safe to remove after 2999-01-01T00:00:00Z"}]}`)
			return true
		case "AmazonSQS.GetQueueUrl":
			fmt.Fprint(w, `{"QueueUrl":"http://aws.invalid/old"}`)
			return true
		case "AmazonSQS.ReceiveMessage":
			if received++; received == 1 {
				return refuse(w, "AWS.SimpleQueueService.NonExistentQueue") // another listener has removed it
			}
			ctrlC(errCtrlC)
			return refuse(w, "RequestCanceled")
		case "AmazonSQS.DeleteQueue":
			if deletions++; deletions == 3 {
				return refuse(w, "InternalError") // still without a network
			}
		}
		return false
	}
	screen, ended := d.tool.listening(t, ctx, "-stack", "chat")
	if status := <-ended; status != 0 {
		t.Errorf("want status 0, got %d\n%s", status, screen)
	}
	for _, text := range []string{"No events can be had, trying again", "cannot be removed yet, trying again", "Nothing is left behind"} {
		screen.shows(t, text)
	}
	if n := len(slices.DeleteFunc(slices.Clone(d.calls), func(call string) bool { return call != "AWSEvents.DeleteRule" })); n != 3 || deletions != 4 {
		t.Errorf("want the old rule and the two of this listener removed, and one queue in the second try, got %d and %d queues of %q", n, deletions, d.calls)
	}
}

func TestListenTriggerAndEventsWorkWithMakeRun(t *testing.T) {
	t.Parallel()
	const event = `{"id":"1","time":"2026-11-27T12:00:00Z","detail-type":"%s","detail":{"metadata":{"webhookId":"w1"},"event":{"cid":"messaging:a\u001b[2J"}}}`
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.local/trigger":
			body, _ := io.ReadAll(r.Body)
			asked <- string(body)
			fmt.Fprint(w, `{"status":200}`)
		case "/.local/events":
			next := map[string]string{"7": "9"}[r.URL.Query().Get("since")]
			if next == "" && r.URL.Query().Get("since") == "9" {
				<-r.Context().Done()
				return
			}
			if next == "" {
				fmt.Fprintf(w, `{"events":[`+event+`],"next":"7"}`, "user.old")
				return
			}
			fmt.Fprintf(w, `{"events":[`+event+`,`+event+`],"next":"9"}`, "message.new", "typing.start")
		default:
			fmt.Fprint(w, `{}`)
		}
	}))
	defer server.Close()
	url, got := ear(t, 200)
	ctx, ctrlC := context.WithCancelCause(t.Context())
	screen, ended := tool{}.listening(t, ctx, "-service-url", server.URL, "-types", "message.*", "-forward", url)
	if body := <-got; !strings.Contains(body, `"message.new"`) {
		t.Errorf("want the event as it is, got %s", body)
	}
	screen.shows(t, `--> message.new messaging:a\u001b[2J [w1]`)
	screen.shows(t, "<-- [200] POST "+url+" [w1]")
	ctrlC(errCtrlC)
	if status := <-ended; status != 0 || strings.Contains(screen.String(), "typing.start") || strings.Contains(screen.String(), "user.old") {
		t.Errorf("want status 0 and only the types asked for, got %d\n%s", status, screen)
	}
	for _, command := range []string{"events", "listen"} {
		tool{}.run(t.Context(), "", command, "-service-url", "http://127.0.0.1:1").want(t, 1, "start make run, or check -service-url")
	}
	tool{}.run(t.Context(), "", "events", "-service-url", server.URL).want(t, 0, "--> user.old messaging:a")
	tool{}.run(t.Context(), "", "trigger", "-service-url", server.URL, "reaction.new").want(t, 0, "<-- [200]")
	if body := <-asked; !strings.Contains(body, `"type":"reaction.new"`) || !strings.Contains(body, `"reaction":{`) {
		t.Errorf("want a reaction, got %s", body)
	}
}

func TestSamplesAreWebhooksOfTheirType(t *testing.T) {
	for eventType, field := range map[string]string{"message.updated": "message", "member.removed": "member", "user.banned": "user", "channel.created": "channel", "call.ended": "call_cid", "my.own": "channel_id"} {
		if sample := listen.Sample(eventType, time.Now()); sample["type"] != eventType || sample[field] == nil {
			t.Errorf("%s: want a %s, got %v", eventType, field, sample)
		}
	}
}

func TestEventsAreReplayedFromTheArchiveToARuleOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	d.onAWS = func(w http.ResponseWriter, r *http.Request, body string) bool {
		answer := map[string]string{
			"AWSEvents.DescribeEventBus": `{"Name":"ChatEventBus","Arn":"arn:bus"}`,
			"AWSEvents.ListArchives":     `{"Archives":[{"ArchiveName":"a"}]}`,
			"AWSEvents.DescribeArchive":  `{"ArchiveArn":"arn:archive"}`,
			"AWSEvents.PutRule":          `{"RuleArn":"arn:rule"}`,
			"AWSEvents.DescribeReplay":   `{"State":"COMPLETED"}`,
		}[r.Header.Get("X-Amz-Target")]
		switch r.Header.Get("X-Amz-Target") {
		case "AWSEvents.StartReplay":
			if !strings.Contains(body, `"FilterArns":["arn:rule"]`) || !strings.Contains(body, `"EventSourceArn":"arn:archive"`) {
				t.Errorf("want a replay to the rule alone, got %s", body)
			}
		case "AmazonSQS.ReceiveMessage":
			if answer = `{}`; !slices.Contains(d.calls[:len(d.calls)-1], "AmazonSQS.ReceiveMessage") {
				answer = `{"Messages":[{"MessageId":"1","ReceiptHandle":"1","Body":"{\"detail-type\":\"message.new\",\"time\":\"2026-11-27T12:00:00Z\",\"detail\":{\"metadata\":{\"webhookId\":\"w1\"}}}"}]}`
			}
		}
		fmt.Fprint(w, answer)
		return answer != ""
	}
	d.run("", "events", "-since", "2h").want(t, 0, "--> message.new [w1]", "1 events. Nothing is left behind.")
	for _, call := range []string{"AWSEvents.DeleteRule", "AmazonSQS.DeleteQueue", "AWSEvents.CancelReplay"} {
		if !slices.Contains(d.calls, call) {
			t.Errorf("want %s called, got %q", call, d.calls)
		}
	}
}
