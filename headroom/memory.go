package headroom

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Memory returns how much memory the process may use, in bytes: the least of the machine's and of what its control groups
// allow, of either version. root is the root directory of the system. It is 0 where nothing tells.
func Memory(root fs.FS) uint64 {
	least := machine(root)
	for _, limit := range groups(root) {
		if least == 0 || limit < least {
			least = limit
		}
	}
	return least
}

func machine(root fs.FS) uint64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			kib, _ := strconv.ParseUint(fields[1], 10, 44)
			return kib << 10
		}
	}
	return 0
}

// groups returns the limits of the process's control groups and of those around them.
func groups(root fs.FS) (limits []uint64) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max" // version 2
		if fields[1] == "memory" {
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if fields[1] != "" {
			continue
		}
		// Inside a container the path is often that of the host, and the container's own group is at the root.
		for group := path.Join("/", fields[2]); ; group = path.Dir(group) {
			if limit, err := fs.ReadFile(root, path.Join(base, group, file)); err == nil {
				if bytes, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64); err == nil && bytes > 0 {
					limits = append(limits, bytes)
				}
			}
			if group == "/" {
				break
			}
		}
	}
	return limits
}
