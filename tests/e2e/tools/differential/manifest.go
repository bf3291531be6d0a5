package main

import (
	"bytes"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// readManifest reads a document as source-controller does, by go-containerregistry: once as a manifest, once as an index.
func readManifest(document []byte) any {
	manifest, notManifest := v1.ParseManifest(bytes.NewReader(document))
	index, notIndex := v1.ParseIndexManifest(bytes.NewReader(document))
	return map[string]reading{
		"manifest": readingOf(manifest, notManifest),
		"index":    readingOf(index, notIndex),
	}
}
