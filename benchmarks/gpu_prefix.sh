#!/usr/bin/env bash
# Copies this machine's GStreamer into a folder, for a GPU machine without packages or network:
# libraries, the plugins that MetaBonk loads, their typelibs, and the source of PyGObject, which is
# compiled there for that machine's Python.
#
#     benchmarks/gpu_prefix.sh .gpu/gst          here (Debian's GStreamer packages are installed,
#                                                also libgirepository1.0-dev)
#     . .gpu/gst/activate                        there, before Python is started
#
# Libraries linked against glibc 2.36 (Debian 12) run on any newer one. glibc's and libstdc++ are
# left out, so that PyTorch keeps those it was built for.
set -euo pipefail
prefix=${1:?usage: gpu_prefix.sh FOLDER}
system=/usr/lib/$(gcc -dumpmachine)
mkdir -p "$prefix/lib/gstreamer-1.0" "$prefix/girepository-1.0"
plugins=(coreelements app videoconvertscale videoparsersbad x264 nvcodec)
for name in "${plugins[@]}"; do
    file=$system/gstreamer-1.0/libgst$name.so
    [ -e "$file" ] && cp "$file" "$prefix/lib/gstreamer-1.0/"
done
for name in GLib GObject Gio GModule Gst GstBase GstVideo GstApp GstGL GstCuda CudaGst; do
    cp "$system/girepository-1.0/$name"-*.typelib "$prefix/girepository-1.0/"
done
own=("$system"/lib{gstreamer,gstapp,gstvideo,gstcuda,girepository}-1.0.so.?)
ldd "$prefix"/lib/gstreamer-1.0/*.so "${own[@]}" | awk '$2 == "=>" { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libz|ld-linux[^/]*)\.' |
    xargs cp -Lnt "$prefix/lib"
cp -Ln "${own[@]}" "$prefix/lib/"
mkdir -p "$prefix/include"
cp -r /usr/include/glib-2.0/. "$system/glib-2.0/include/." /usr/include/gobject-introspection-1.0/. \
    "/usr/include/$(gcc -dumpmachine)"/ffi*.h "$prefix/include/"
version=$(sed -n 's/^PyGObject==//p' "$(dirname "$0")/../constraints.txt")
pip download --quiet --no-deps --no-binary PyGObject --dest "$prefix" "PyGObject==$version"
tar xzf "$prefix/pygobject-$version.tar.gz" --directory "$prefix"
rm "$prefix/pygobject-$version.tar.gz"
mv "$prefix/pygobject-$version" "$prefix/pygobject"
printf '#define PYGOBJECT_%s_VERSION %s\n' MAJOR "${version%%.*}" MICRO "${version##*.}" \
    MINOR "$(cut -d. -f2 <<<"$version")" >"$prefix/pygobject/config.h"
cat >"$prefix/activate" <<'END'
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export GI_TYPELIB_PATH=$here/girepository-1.0
export PYTHONPATH=$here/pygobject${PYTHONPATH:+:$PYTHONPATH}
compile() { # As PyGObject's build does, without its build tools.
    local python sources
    python=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')
    sources=$(grep -oE '[a-z-]+\.c\b' "$here/pygobject/gi/meson.build" | grep -v foreign-cairo)
    (cd "$here/pygobject/gi" && gcc -O2 -shared -fPIC -w -I"$python" -I"$here/include" -I. -I.. \
        -DPY_SSIZE_T_CLEAN \
        $sources -o "_gi$(python3 -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')" \
        "$here"/lib/lib{girepository-1.0,gobject-2.0,gmodule-2.0,glib-2.0,gio-2.0,ffi}.so.?)
}
[ -e "$here"/pygobject/gi/_gi.*.so ] || compile
# GStreamer looks for NVRTC by a name that only its -dev package and PyTorch's wheel have.
for nvrtc in $(python3 -c 'import sys; print(*sys.path)' | tr ' ' '\n' |
    xargs -I{} find {} -maxdepth 4 -path '*nvidia*' -name 'libnvrtc.so.*' 2>/dev/null) \
    /usr/local/cuda/lib64/libnvrtc.so.*; do
    case $nvrtc in *alt* | *'*') continue ;; esac
    # NVRTC loads its other parts from its own folder.
    ln -sf "$(dirname "$nvrtc")"/libnvrtc* "$here/lib/"
    ln -sf "$nvrtc" "$here/lib/libnvrtc.so"
    break
done
END
du -sh "$prefix"
