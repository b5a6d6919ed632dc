// Package project holds the project's files that the programs carry with them.
package project

import _ "embed"

// Template is the stack.
//
//go:embed template.yaml
var Template []byte

// OpenAPI describes both APIs.
//
//go:embed docs/openapi.yaml
var OpenAPI []byte
