package webhook

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A recorder is a network that takes every request and answers 200 and a body.
type recorder struct {
	body string
	got  *http.Request
}

func (n *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	n.got = r
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(n.body))}, nil
}

func TestEachServiceIsCalledInItsRegionAndSignedForIt(t *testing.T) {
	const function, chinese = "arn:aws:lambda:eu-west-1:123456789012:function:f", "arn:aws-cn:lambda:cn-north-1:123456789012:function:f:$LATEST"
	environment := func(region string) func(string) string {
		return func(name string) string {
			return map[string]string{
				"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
				"EVENT_BUS_NAME": "bus", "FALLBACK_QUEUE_URL": "https://sqs/queue", "LARGE_EVENTS_BUCKET": "bucket",
				"HOOK_FUNCTION_ARN": map[string]string{"us-gov-west-1": function, "cn-north-1": chinese}[region],
			}[name]
		}
	}
	for region, wants := range map[string][4]string{
		"us-gov-west-1": {
			"https://events.us-gov-west-1.amazonaws.com/", "https://sqs.us-gov-west-1.amazonaws.com/", "https://bucket.s3.us-gov-west-1.amazonaws.com/key",
			"https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af/invocations",
		},
		"cn-north-1": {
			"https://events.cn-north-1.amazonaws.com.cn/", "https://sqs.cn-north-1.amazonaws.com.cn/", "https://bucket.s3.cn-north-1.amazonaws.com.cn/key",
			"https://lambda.cn-north-1.amazonaws.com.cn/2015-03-31/functions/arn%3Aaws-cn%3Alambda%3Acn-north-1%3A123456789012%3Afunction%3Af%3A$LATEST/invocations",
		},
	} {
		b, err := newBus(environment(region))
		if err != nil {
			t.Fatal(err)
		}
		hooks, err := newAnswerer(environment(region))
		if err != nil {
			t.Fatal(err)
		}
		for i, call := range []struct {
			service *service
			answer  string
			send    func() error
		}{
			{b.events, `{"Entries":[{"EventId":"1"}]}`, func() error { return b.send(t.Context(), entry{}) }},
			{b.queue, `{"MessageId":"1"}`, func() error { return b.enqueue(t.Context(), entry{}) }},
			{b.objects, "", func() error { _, err := b.objects.do(t.Context(), http.MethodPut, "/key", nil, nil); return err }},
			{hooks.service, "{}", func() error { _, err := hooks.invoke(t.Context(), event{body: []byte("{}")}); return err }},
		} {
			network := &recorder{body: call.answer}
			call.service.client = &http.Client{Transport: network}
			if err := call.send(); err != nil {
				t.Errorf("%s: %v", wants[i], err)
				continue
			}
			if got := network.got.URL.String(); got != wants[i] {
				t.Errorf("want %s, got %s", wants[i], got)
			}
			scope := "/" + call.service.region + "/" + call.service.name + "/aws4_request"
			if got := network.got.Header.Get("Authorization"); !strings.Contains(got, scope) {
				t.Errorf("%s: want a signature for %s, got %s", wants[i], scope, got)
			}
		}
	}
}

func TestOnlyAWSCanAcknowledgeAnEvent(t *testing.T) {
	for _, answer := range []string{"", "<html>", "{}", `{"FailedEntryCount":0,"Entries":[]}`, `{"Entries":[{}]}`, `{"MessageId":""}`} {
		s := newService(func(string) string { return "x" }, "", "", "", &http.Client{Transport: &recorder{body: answer}})
		b := &bus{events: s, queue: s}
		if err := b.send(t.Context(), entry{}); err == nil {
			t.Errorf("%q: want an error from send", answer)
		}
		if err := b.enqueue(t.Context(), entry{}); err == nil {
			t.Errorf("%q: want an error from enqueue", answer)
		}
	}
}

func TestErrorCodeIsFoundWhereverAWSPutsIt(t *testing.T) {
	for _, test := range []struct{ header, body, want string }{
		{"", `{"__type":"com.amazonaws.eventbridge#InternalException"}`, "InternalException"},
		{"", `{"__type":"ThrottlingException"}`, "ThrottlingException"},
		{"ValidationException:http://internal.amazon.com/coral/", `{}`, "ValidationException"},
		{"", `<html>`, ""},
	} {
		header := http.Header{}
		header.Set("X-Amzn-Errortype", test.header)
		if got := errorCode(header, []byte(test.body)); got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}
