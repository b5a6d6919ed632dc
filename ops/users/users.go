// Package users creates users at Stream before they sign in.
package users

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/shared/userid"
)

// batch is the most users that Stream takes in a call.
const batch = 100

// Commands are those on users.
func Commands(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{Name: "users", Usage: "works on many users at once", Commands: []*cli.Command{{
		Name:        "import",
		ArgsUsage:   "FILE",
		Usage:       "creates users at Stream, or updates those that exist; run one import at a time, because two that create a user keep the fields of one",
		Description: "ops users import -env prod users.jsonl\nops users import -env prod -from 2001 users.jsonl",
		Flags: []cli.Flag{
			issuerPrefix(),
			&cli.IntFlag{Name: "from", Value: 1, Usage: "first `LINE` to import, as printed by an import that ended early"},
		},
		Action: func(ctx context.Context, flags *cli.Command) error {
			return importFile(ctx, c, at, file{name: flags.Args().First(), prefix: flags.String("issuer-prefix")}, flags.Int("from"))
		},
	}, {
		Name:        "check",
		ArgsUsage:   "FILE",
		Usage:       "says which users of a file exist at Stream, and changes nothing",
		Description: "ops users check -env prod users.jsonl\nops users check -env prod -issuer-prefix staff claims.txt",
		Flags:       []cli.Flag{issuerPrefix()},
		Action: func(ctx context.Context, flags *cli.Command) error {
			return check(ctx, c, at, file{flags.Args().First(), flags.String("issuer-prefix"), true})
		},
	}}}
}

func issuerPrefix() cli.Flag {
	return &cli.StringFlag{Name: "issuer-prefix", Usage: "the issuer's `PREFIX` in OidcIssuer, for claims", Validator: func(s string) error {
		if s != "" && !userid.ValidPrefix(s) {
			return errors.New("a prefix is 1 to 32 letters, digits, _ and -")
		}
		return nil
	}}
}
