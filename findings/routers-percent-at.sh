#!/usr/bin/env bash
# github.com/go-chi/chi/v5 v5.2.3, github.com/labstack/echo/v4 v4.13.4, github.com/gin-gonic/gin v1.11.0 and net/http of Go 1.26.
# Seen on 2026-11-27.
# Clients write the user id @support as %40support in a path (JavaScript's encodeURIComponent does). chi and echo hand the escaped
# text to the handler, but a space, sent as %20, decoded: they read URL.RawPath, which Go fills in only if the path is not as Go itself would
# have escaped it. echo's parameter at the end of a route also takes a slash. gin and net/http decode both.
# Seen (/users/%40support, /users/a%20b, /users/a/b):
#   net/http @support, a b, 404
#   chi %40support, a b, 404
#   echo %40support, a b, a/b
#   gin @support, a b, 404
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding 2>/dev/null
go get github.com/go-chi/chi/v5@v5.2.3 github.com/labstack/echo/v4@v4.13.4 github.com/gin-gonic/gin@v1.11.0 2>/dev/null

cat >main.go <<'E'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
	router := chi.NewRouter()
	router.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, chi.URLParam(r, "id")) })
	e := echo.New()
	e.GET("/users/:id", func(c echo.Context) error { return c.String(200, c.Param("id")) })
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.GET("/users/:id", func(c *gin.Context) { c.String(200, c.Param("id")) })
	for _, one := range []struct {
		name    string
		handler http.Handler
	}{{"net/http", mux}, {"chi", router}, {"echo", e}, {"gin", g}} {
		server := httptest.NewServer(one.handler)
		var seen []string
		for _, path := range []string{"/users/%40support", "/users/a%20b", "/users/a/b"} {
			answer, err := http.Get(server.URL + path)
			if err != nil {
				panic(err)
			}
			body, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != 200 {
				body = []byte(fmt.Sprint(answer.StatusCode))
			}
			seen = append(seen, string(body))
		}
		server.Close()
		fmt.Println(one.name, strings.Join(seen, ", "))
	}
}
E
go run . | tee seen
diff - seen <<'E'
net/http @support, a b, 404
chi %40support, a b, 404
echo %40support, a b, a/b
gin @support, a b, 404
E
