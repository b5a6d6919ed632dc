package streamfile

import "testing"

func TestStackKnowsTheAddressesThatItHadBefore(t *testing.T) {
	const id = "/webhook/8c2f1c90-1111-2222-3333-0123456789ab"
	outputs := map[string]string{"ClientApiUrl": "https://client/v1", "WebhookUrl": "https://hooks" + id + "-new"}
	for address, want := range map[string]bool{
		"https://client/v1/webhook": true, "https://hooks" + id: true, "https://elsewhere" + id + "-old": true,
		"https://client/v1/webhook/x": false, "https://hooks/webhook": false, "https://hooks/webhook/9c2f1c90-1111-2222-3333-0123456789ab": false, "": false,
	} {
		if got := Address(own(Document{"hook_type": "webhook", "webhook_url": address}, outputs)) == outputs["WebhookUrl"]; got != want {
			t.Errorf("%s: want %v, got %v", address, want, got)
		}
	}
}

func TestWhatStreamAnswersForNothingIsItsDefault(t *testing.T) {
	for _, c := range []struct {
		k           kind
		field, want string
	}{{appKind, "enforce_unique_usernames", "no"}, {collections[2], "type", "word"}} { // of an old app, an old blocklist
		if _, fields := differences(c.k, Document{c.field: ""}, Document{c.field: c.want}); len(fields) > 0 {
			t.Errorf("%s: want no difference, got %v", c.field, fields)
		}
	}
}
