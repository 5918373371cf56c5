package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options are those of one command. All commands tell of theirs alike, and say
// alike what is wrong with those that they were given.
type options struct {
	*flag.FlagSet
	std  stdio
	note string // what help says besides
}

// optionsOf begins the options of a command.
func optionsOf(name string, std stdio) *options {
	f := flag.NewFlagSet("lvx "+name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // a refusal is one line, and parse prints it
	return &options{FlagSet: f, std: std}
}

// goWords are those of package flag that a user of lvx has not met.
var goWords = strings.NewReplacer("flag provided but not defined: -", "no option ", "flag needs an argument: -", "no value for option ", "for flag -", "for option ")

// explained says what an option takes, where package flag has no word for it.
func (o *options) explained(err error) string {
	what := "not a number"
	o.VisitAll(func(f *flag.Flag) {
		if value, ok := f.Value.(flag.Getter); ok && strings.Contains(err.Error(), "for flag -"+f.Name+":") {
			if _, ok := value.Get().(time.Duration); ok {
				what = "not a time, as 30s or 5m"
			}
		}
	})
	return goWords.Replace(strings.ReplaceAll(err.Error(), "parse error", what))
}

// parse reads the options, behind which at most so many words may stand; -1 is
// any number. Where it is not ok, the command is over.
func (o *options) parse(args []string, words int) (code int, ok bool) {
	switch err := o.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		o.tell(o.std.out)
		return exitOK, false
	case err != nil:
		return o.refuse(o.explained(err)), false
	case words >= 0 && o.NArg() > words:
		return o.refuse(fmt.Sprintf("unexpected argument %q", o.Arg(words))), false
	}
	return exitOK, true
}

// refuse says what is wrong with a command line.
func (o *options) refuse(why string) int {
	if !strings.HasSuffix(why, "?") {
		why += ";"
	}
	fmt.Fprintf(o.std.err, "%s: %s `%s -h` tells the options\n", o.Name(), why, o.Name())
	return exitUsage
}

// valueWords stand for values whose option names none.
var valueWords = map[string]string{"int": "N", "uint": "N", "float": "N", "duration": "TIME", "string": "TEXT"}

// tell prints what a command does and its options.
func (o *options) tell(out io.Writer) {
	for _, c := range slices.Concat(commands, benchCommands) {
		if "lvx "+c.name == o.Name() {
			fmt.Fprintf(out, "%s\n%s\n", strings.TrimSpace(o.Name()+" "+c.use), folded(c.does, ""))
		}
	}
	if o.note != "" {
		fmt.Fprintf(out, "\n%s\n", folded(o.note, ""))
	}
	separator := "\n"
	o.VisitAll(func(f *flag.Flag) {
		value, use := flag.UnquoteUsage(f)
		if word := valueWords[value]; word != "" {
			value = word
		}
		line := "-" + f.Name
		if len(f.Name) > 1 {
			line = "-" + line
		}
		if !slices.Contains([]string{"", "0", "0s", "false"}, f.DefValue) {
			use += fmt.Sprintf("; %s unless given", f.DefValue)
		}
		fmt.Fprintf(out, "%s  %s\n%s\n", separator, strings.TrimSpace(line+" "+value), folded(use, "        "))
		separator = ""
	})
}

// folded breaks each line of a text at 80 columns and begins all with indent.
func folded(text, indent string) string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := indent
		for word := range strings.FieldsSeq(paragraph) {
			if len(line)+len(word) > 80 {
				lines, line = append(lines, strings.TrimRight(line, " ")), indent
			}
			line += word + " "
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.Join(lines, "\n")
}
