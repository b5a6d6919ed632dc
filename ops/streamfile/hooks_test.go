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
