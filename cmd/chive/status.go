package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

type statusCommand struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive status --help.
func (statusCommand) Help() string {
	return `Asks the node and prints its answer. Exits with 4 when none is there.

Examples:
  chive status
  chive status -o json | jq .bootstrap.percent`
}

// Run asks and prints.
func (c statusCommand) Run(std streams) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	node, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	answer, err := node.Request(ctx, "status", nil)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		var out bytes.Buffer
		if err := json.Indent(&out, answer, "", "  "); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		_, err = fmt.Fprintln(std.out, out.String())
		return err
	}
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := outline(std.out, d, ""); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

// outline writes a JSON object as indented "name: value" lines, in its order.
func outline(w io.Writer, d *json.Decoder, indent string) error {
	open, err := d.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') {
		return errors.New("the node's answer is not an object")
	}
	return members(w, d, indent)
}

// members writes the rest of an object whose brace has been read.
func members(w io.Writer, d *json.Decoder, indent string) error {
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		label := strings.ReplaceAll(fmt.Sprint(name), "_", " ")
		value, err := d.Token()
		if err != nil {
			return err
		}
		switch value {
		case json.Delim('{'):
			if d.More() {
				fmt.Fprintf(w, "%s%s:\n", indent, label)
			}
			err = members(w, d, indent+"  ")
		case json.Delim('['):
			err = list(w, d, indent, label)
		default:
			fmt.Fprintf(w, "%s%s: %v\n", indent, label, value)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func list(w io.Writer, d *json.Decoder, indent, label string) error {
	fmt.Fprintf(w, "%s%s:\n", indent, label)
	for d.More() {
		value, err := d.Token()
		if err != nil {
			return err
		}
		switch value {
		case json.Delim('{'):
			fmt.Fprintf(w, "%s  -\n", indent)
			err = members(w, d, indent+"    ")
		case json.Delim('['):
			err = list(w, d, indent+"  ", "-")
		default:
			fmt.Fprintf(w, "%s  - %v\n", indent, value)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}
