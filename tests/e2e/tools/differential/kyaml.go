package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// readFolder returns the objects that kustomize-controller applies of a folder: it writes the kustomization.yaml that
// the folder lacks, builds it, and reads what comes of that. It builds with the same options, but keeps the schema of
// Kubernetes, which takes 0.2 s to parse, from one folder to the next. The document is a JSON object of files by path, whose
// contents are in base64.
func readFolder(document []byte) any {
	objects, err := objectsOf(document)
	return readingOf(objects, err)
}

func objectsOf(document []byte) ([]map[string]any, error) {
	var files map[string][]byte
	if err := json.Unmarshal(document, &files); err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "ums-differential-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return nil, err
		}
	}
	if _, err := kustomize.NewGenerator(root, unstructured.Unstructured{Object: map[string]any{}}).WriteFile(root); err != nil {
		return nil, err
	}
	built, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(filesys.MakeFsOnDisk(), root)
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	read, err := utils.ReadObjects(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	objects := make([]map[string]any, 0, len(read))
	for _, object := range read {
		objects = append(objects, object.Object)
	}
	return objects, nil
}
