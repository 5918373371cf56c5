package ftp

import "bytes"

// ReadRequestAsIPVS is ReadRequest as the kernel has it: PASV and EPSV may
// stand anywhere in the text, PORT and EPRT only where it begins, and nobody
// asks for a line's end behind these.
func ReadRequestAsIPVS(text []byte) Request {
	for at := 0; at <= len(text)-6; at++ {
		switch rest := text[at:]; {
		case bytes.EqualFold(rest[:6], []byte("PASV\r\n")):
			return Request{Mode: Passive}
		case !bytes.EqualFold(rest[:4], []byte("EPSV")):
		case rest[4] == '\r':
			return Request{Mode: Extended}
		case rest[4] == ' ':
			if len(rest) >= 7 && (rest[5] == '1' || rest[5] == '2') && rest[6] == '\r' {
				return Request{Mode: Extended}
			}
			return Request{}
		}
	}
	switch {
	case len(text) < 5:
	case bytes.EqualFold(text[:4], []byte("PORT")):
		first := bytes.IndexFunc(text, func(r rune) bool { return r >= '0' && r <= '9' })
		if first < 0 {
			break
		}
		if e, n := six(text[first-1:]); n > 0 && first+n < len(text) {
			return Request{Active, e}
		}
	case bytes.EqualFold(text[:4], []byte("EPRT")):
		if e, ok := extended(fourBars(text[4:])); ok {
			return Request{Active, e}
		}
	}
	return Request{}
}

// fourBars returns the space before the first bar of EPRT's argument, and the
// argument to its fourth bar.
func fourBars(text []byte) []byte {
	from := bytes.IndexByte(text, ' ')
	for from >= 0 && from+1 < len(text) && text[from+1] == ' ' {
		from++
	}
	if from < 0 || from+1 == len(text) {
		return nil
	}
	end := from + 1
	for range 3 {
		next := bytes.IndexByte(text[end+1:], text[from+1])
		if next < 0 {
			return nil
		}
		end += 1 + next
	}
	return text[from : end+1]
}

// ReadAnswerAsIPVS is ReadAnswer as the kernel has it: the answer stands where
// the text begins.
func ReadAnswerAsIPVS(text []byte, mode Mode) (Answer, bool) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return answer(line[:min(len(line), maxLine)], mode)
}
