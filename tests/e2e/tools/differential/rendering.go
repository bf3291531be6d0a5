package main

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sort"

	"helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/yaml"
)

// readRendering returns what is read in the output of helm template: by Helm itself, which splits it and reads each
// part as Kubernetes' tools do; by kyaml, to which helm-controller gives the same parts; and by kyaml once more, in what
// it wrote of them, as it is then.
func readRendering(document []byte) any {
	parts := util.SplitManifests(string(document))
	names := slices.Collect(maps.Keys(parts))
	sort.Sort(util.BySplitManifestsOrder(names))
	readers := map[string]func(string) ([]json.RawMessage, error){
		"helm": readHelm, "kyaml": readKyaml, "rewritten": readRewritten,
	}
	readings := map[string]reading{}
	for reader, read := range readers {
		objects, err := []json.RawMessage{}, error(nil)
		for _, name := range names {
			found, failed := read(parts[name])
			objects, err = append(objects, found...), errors.Join(err, failed)
		}
		readings[reader] = readingOf(objects, err)
	}
	return readings
}

func readHelm(part string) ([]json.RawMessage, error) {
	content, err := yaml.YAMLToJSON([]byte(part))
	if err != nil || string(content) == "null" {
		return nil, err
	}
	return []json.RawMessage{content}, nil
}

func readKyaml(part string) ([]json.RawMessage, error) {
	nodes, err := kio.FromBytes([]byte(part))
	if err != nil {
		return nil, err
	}
	objects := []json.RawMessage{}
	for _, node := range nodes {
		content, err := node.MarshalJSON()
		if err != nil {
			return nil, err
		}
		objects = append(objects, content)
	}
	return objects, nil
}

func readRewritten(part string) ([]json.RawMessage, error) {
	nodes, err := kio.ParseAll(part)
	if err != nil {
		return nil, err
	}
	text, err := kio.StringAll(nodes)
	if err != nil {
		return nil, err
	}
	return readKyaml(text)
}
