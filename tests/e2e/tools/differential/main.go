// Program differential tells how Go reads documents: one document a line on standard input, in base64, and one JSON
// line on standard output for each. Its argument names what is read; each mode is a file of its own.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// A mode returns what Go reads in one document, as a value that encoding/json writes.
type mode func(document []byte) any

var modes = map[string]mode{
	"kyaml":     readFolder,
	"manifest":  readManifest,
	"rendering": readRendering,
}

// A reading is a value, or the reason why there is none.
type reading struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

func readingOf(value any, err error) reading {
	if err != nil {
		return reading{Error: err.Error()}
	}
	return reading{Value: value}
}

func main() {
	if len(os.Args) != 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: differential MODE < lines")
		os.Exit(2)
	}
	if err := run(modes[os.Args[1]], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

func run(read mode, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	written := bufio.NewWriter(out)
	encoder := json.NewEncoder(written)
	encoder.SetEscapeHTML(false)
	for lines.Scan() {
		document, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		if err := encoder.Encode(read(document)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return written.Flush()
}
