# Builds encoder_bits as CMakeLists.txt builds the core; for the scripts here. Wants $native and $build.

# The files that CMakeLists.txt names: those of the kernels, and of the core but for the binding to Python.
named() { sed -n "/$1/,/)\$/p" "$native/../CMakeLists.txt" | grep -oE 'native/[a-z]+/[a-z_0-9]+\.cc' | sed 's|^native/||'; }
fused="bert/float_kernel.cc fde/fde_kernel.cc"
exact=$(named '^  add_library(kernel' | grep -vxF "${fused// /$'\n'}")
core=$(named '^nanobind_add_module' | grep -v '^bind/')

# objects COMPILER CONTRACTION FILE...
objects() {
  local compiler=$1 contraction=$2 file
  shift 2
  for file in "$@"; do
    $compiler -std=c++17 -O2 -fno-math-errno -ffp-contract="$contraction" $flags -I"$native" -c "$native/$file" \
      -o "$out.$(basename "$file").o"
  done
}

# program NAME COMPILER DEFINITION [KERNEL=FLAG...]: as $build/NAME; LINK holds the linker's flags
program() {
  local name=$1 compiler=$2 definition=$3 kernel flags out
  shift 3
  for kernel in baseline= "$@"; do
    out=$build/$name.${kernel%%=*} flags="-DFEMTO_KERNEL=${kernel%%=*} ${kernel#*=}"
    objects "$compiler" fast $fused
    objects "$compiler" off $exact
  done
  out=$build/$name flags=$definition
  objects "$compiler" off check/encoder_bits.cc $core
  $compiler ${LINK--static -pthread} "$build/$name".*.o -o "$build/$name"
}

# same NAME KERNELS COMMAND...: it uses these kernels, best first, and each prints what the baseline printed here
same() {
  local name=$1 kernels=$2 kernel
  shift 2
  "$@" >"$build/$name.txt" 2>"$build/$name.kernels"
  for kernel in $kernels; do cat "$build/here.txt"; done >"$build/$name.wanted"
  diff <(tr -d '\r' <"$build/$name.kernels" | grep -xE 'avx512|avx2|dotprod|baseline' | xargs) <(echo "$kernels")
  diff "$build/$name.wanted" <(tr -d '\r' <"$build/$name.txt")
  echo "$name: the same bits from $kernels"
}

# here: what the baseline of this machine prints
here() {
  program here g++ ""
  "$build/here" 2>/dev/null >"$build/here.txt"
  test -s "$build/here.txt"
}
