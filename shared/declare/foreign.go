// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// isNameless reports whether the text after the prefix is a setting of SLS for the whole container, such as elastic container
// instances set (aliyun_logs_project, aliyun_logs_machinegroup), and not the name of a log.
func isNameless(rest string) bool { return rest == "project" || rest == "machinegroup" }

func (r *reader) nameless(e entry) {
	r.warning(e.key, "is a setting of SLS for the whole container, which has no counterpart here; it is ignored")
}

// loong is the prefix of the variables of LoongCollector, the successor of SLS' agent. They are read if PILOT_LOG_PREFIX names
// it.
const loong = "loong"

// hintLoong warns once that a container declares logs in LoongCollector's variables, which are not read.
func (r *reader) hintLoong(env []string) {
	if slices.ContainsFunc(r.d.prefixes, func(p prefix) bool { return p.name == loong }) {
		return
	}
	for _, variable := range env {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, loong+"_logs_") {
			r.warning(key, "is not read; to read LoongCollector's variables, add "+loong+" to PILOT_LOG_PREFIX")
			return
		}
	}
}

// translate replaces entries with the keys of SLS and of log-pilot's forks by ours, and warns about those without a
// counterpart. Our own keys take precedence.
func (dr *draft) translate() {
	var add []entry
	dr.entries = slices.DeleteFunc(dr.entries, func(e entry) bool {
		switch e.path {
		case "logstore":
			if !dr.has("target") {
				e.path = "target"
				add = append(add, e)
			}
		case "machinegroup":
			dr.warn(e, "is ignored: Remora has no machine groups")
		case "project", "shard", "ttl":
			return !dr.warnOfStore(e)
		case "product":
			if e.value = strings.TrimSpace(e.value); e.value != "k8s-nginx-ingress" || dr.has("format") {
				dr.warn(e, "is ignored: declare the format of the log instead, such as format=nginx")
				return true
			}
			dr.warn(e, "is read as format=nginx, whose fields have nginx's names and not those of SLS (remote_addr for client_ip)")
			e.path, e.value = "format", "nginx"
			add = append(add, e)
		case "detail":
			add = append(add, dr.translateDetail(e)...)
		default:
			return false
		}
		return true
	})
	dr.entries = append(dr.entries, add...)
}

// projectName matches the names of SLS projects.
var projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// maxShards bounds the shards with which a log may have its store created.
const maxShards = 10

// warnOfStore warns about a key for the store of the output aliyun_sls, and reports whether it is valid.
func (dr *draft) warnOfStore(e entry) bool {
	text := strings.TrimSpace(e.value)
	n, err := strconv.Atoi(text)
	switch {
	case e.path == "project" && projectName.MatchString(text):
		dr.warn(e, "counts for the output aliyun_sls alone, and if ALIYUNSLS_PROJECTS lists the project")
	case e.path == "shard" && err == nil && n >= 1 && n <= maxShards, e.path == "ttl" && err == nil && n >= 1 && n <= 3650:
		dr.warn(e, "counts for the output aliyun_sls alone, and if it creates the logstore (ALIYUNSLS_NEED_CREATE_LOGSTORE)")
	case e.path == "shard":
		dr.warn(e, fmt.Sprintf("is ignored: it is no number from 1 to %d", maxShards))
		return false
	default:
		dr.warn(e, "is ignored: it is no "+map[string]string{"project": "name of a project", "ttl": "number of days from 1 to 3650"}[e.path])
		return false
	}
	return true
}

// tagAll adds the tags of a log that is not declared to all logs of the container, as SLS documents it:
// aliyun_logs_mytag1_tags=tag1=v1. If the container declares no log, they remain an error.
func (r *reader) tagAll() {
	declared := r.declared()
	if len(declared) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.drafts)) {
		dr := r.drafts[name]
		if dr.has("") || len(dr.unknown) > 0 || len(dr.errors) > 0 || len(dr.entries) == 0 || !dr.onlyTags() {
			continue
		}
		var tags []Pair
		for _, e := range dr.entries {
			pairs, err := parsePairs(e.value)
			if err != nil {
				dr.refuse(e, err.Error())
			}
			tags = append(tags, pairs...)
		}
		if len(dr.errors) > 0 {
			continue
		}
		if near := nearest(name, declared); near != "" {
			r.warning(dr.entries[0].key, "tags all logs of the container, because none is named "+name+"; did you mean "+near+"?")
		}
		for _, other := range declared {
			o := r.drafts[other]
			o.fields = slices.Concat(tags, o.fields)
		}
		delete(r.drafts, name)
	}
}

// onlyTags reports whether the entries are only tags, set by variables or labels.
func (dr *draft) onlyTags() bool {
	return !slices.ContainsFunc(dr.entries, func(e entry) bool { return e.path != "tags" || strings.HasPrefix(e.key, "logs.") || e.prefix == "" })
}
