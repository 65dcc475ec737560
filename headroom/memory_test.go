package headroom

import (
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	const meminfo = "MemTotal:       24576000 kB\nMemFree:         100 kB\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  uint64
	}{
		{"nothing", nil, 0},
		{"a machine", map[string]string{"proc/meminfo": meminfo}, 24576000 << 10},
		{"a container", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n",
		}, 512 << 20},
		{"a container without a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
		}, 24576000 << 10},
		{"a service in a slice with a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/carillon.service\n",
			"sys/fs/cgroup/system.slice/carillon.service/memory.max": "2147483648\n", "sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
		}, 1 << 30},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}, 256 << 20},
		{"version 1 without a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 24576000 << 10},
		{"what nobody understands", map[string]string{"proc/meminfo": "MemTotal: much\n", "proc/self/cgroup": "?\n"}, 0},
	} {
		system := fstest.MapFS{}
		for name, text := range c.files {
			system[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := Memory(system); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}

func TestDefault(t *testing.T) {
	for memory, want := range map[uint64]uint64{0: Least, 1 << 30: Least, 8 << 30: 128 << 20, 24 << 30: Most, 1 << 40: Most} {
		if got := Default(memory); got != want {
			t.Errorf("of %d bytes: %d, want %d", memory, got, want)
		}
	}
}
