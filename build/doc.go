// Package build turns a Buildfile into an image.
//
// A Builder works on one store. Build parses, plans, runs the steps that no earlier build has run, packs their layers
// while later steps run, and writes the image to its outputs. It prints nothing: what happens goes to Request.Events.
// A Builder may be used from several goroutines, and several processes may use the same store.
package build
