package measure

import (
	"bytes"
	"os"
	"strings"
)

// Said is the end of what a program wrote to a log, in one line, for an error about it: the log is removed with all else.
func Said(log *os.File) string {
	const most = 400 // bytes
	info, err := log.Stat()
	if err != nil {
		return err.Error()
	}
	end := make([]byte, min(most, info.Size()))
	f, err := os.Open(log.Name()) // the log itself may be open for writing only
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	n, err := f.ReadAt(end, info.Size()-int64(len(end)))
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(bytes.ToValidUTF8(end[:n], nil))), " ")
}
