#!/bin/bash
# evicts
evict() {
  echo 1
}
function other { local x=1; }
function third() (
  echo
)
