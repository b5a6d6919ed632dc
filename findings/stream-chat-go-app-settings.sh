#!/usr/bin/env bash
# github.com/GetStream/stream-chat-go/v6 v6.10.0. Seen on 2026-11-27 with Go 1.26.
# A PATCH that changes one setting of the app carries eight others at their zero values: an empty name, push switched off, and
# revoke_tokens_issued_before: null, which is how an app-wide revocation is taken back. AppSettings has no omitempty on them.
# Seen: PATCH /app with these members
#   channel_configs null, disable_auth_checks false, name "", organization "", policies null, push_notifications {...},
#   revoke_tokens_issued_before null, suspended false, suspended_explanation ""
#   and push_notifications.firebase.enabled false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding 2>/dev/null
go get github.com/GetStream/stream-chat-go/v6@v6.10.0 2>/dev/null

cat >main.go <<'E'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"

	stream "github.com/GetStream/stream-chat-go/v6"
)

func main() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent map[string]any
		json.NewDecoder(r.Body).Decode(&sent)
		var names []string
		for name := range sent {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Println(r.Method, r.URL.Path)
		for _, name := range names {
			if name == "push_notifications" {
				fmt.Println("firebase", sent[name].(map[string]any)["firebase"].(map[string]any)["enabled"])
				continue
			}
			text, _ := json.Marshal(sent[name])
			fmt.Println(name, string(text))
		}
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	client, err := stream.NewClient("key", "secret")
	if err != nil {
		panic(err)
	}
	client.BaseURL = server.URL
	settings := stream.NewAppSettings().SetDisableAuth(false)
	if _, err := client.UpdateAppSettings(context.Background(), settings); err != nil {
		panic(err)
	}
}
E
go run . | tee seen
diff - seen <<'E'
PATCH /app
channel_configs null
disable_auth_checks false
name ""
organization ""
policies null
firebase false
revoke_tokens_issued_before null
suspended false
suspended_explanation ""
E
