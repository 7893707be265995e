package plan

import "testing"

func TestKeysDifferWhereFieldsDo(t *testing.T) {
	seen := map[Key][]string{}
	for _, fields := range [][]string{
		{},
		{""},
		{"", ""},
		{"a"},
		{"ab", "c"},
		{"a", "bc"},
		{"abc"},
		{"a:b"},
		{"1:a"},
		{List([]string{"a", "b"})},
		{List([]string{"ab"})},
		{List(nil)},
	} {
		k := NewKey(fields...)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", fields, other)
		}
		seen[k] = fields
		if again := NewKey(fields...); again != k {
			t.Errorf("%q has keys %s and %s", fields, k, again)
		}
	}
}
