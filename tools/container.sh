#!/usr/bin/env bash
# Runs the steps of the Dockerfile where there is no container engine, and tries the result.
#
#   tools/container.sh PHOTO ANOTHER       # two photos of one person
#
# As root; about 8 GB and five minutes. The root directory is a fresh Debian (debootstrap) in the folder
# $FOLDER, or in a temporary one that is deleted; $FOLDER/base is used again. pip gets what it needs by
# this machine's configuration. The service then runs as the image's user, without capabilities, with
# a read-only root directory, and in a network of its own that has only a loopback address.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
  echo "error: $*" >&2
  exit 2
}

# ---- inside a mount namespace: all mounts end with it ----

enter() { # COMMAND...: in the root directory, as root
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
    "${environment[@]}" "${arguments[@]}" /usr/sbin/chroot "$root" "$@"
}

become() { # COMMAND...: in the place of this process, as the image's user in /data
  exec env -i "${environment[@]}" HOME=/data /usr/sbin/chroot "$root" \
    setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups \
    --no-new-privs --inh-caps=-all --bounding-set=-all -- env -C /data "$@"
}

as_user() { (become "$@"); }

copy() { # SOURCE... TARGET, as COPY does it: the contents of a folder, a file under its name
  local target=$root${*: -1} source
  mkdir -p "$target"
  for source in "${@:1:$#-1}"; do
    if [ -d "$source" ]; then
      tar --create --exclude=__pycache__ --directory="$source" . |
        tar --extract --no-same-owner --directory="$target"
    else
      cp "$source" "$target"
    fi
  done
}

step() { # LINE: an instruction of the Dockerfile; RUN and COPY are done by build only
  local word=${1%% *} rest=${1#* }
  case $word in
    FROM) [ "$rest" = "\${BASE}" ] || die "Dockerfile: one stage, FROM \${BASE}" ;;
    ARG) if [[ $rest == *=* ]]; then arguments+=("$rest"); fi ;;
    ENV) environment+=("$rest") ;;
    USER) user=$rest ;;
    RUN | COPY)
      [ "$part" = build ] || return 0
      echo "$word $rest"
      if [ "$word" = RUN ]; then enter /bin/sh -c "$rest"; else
        read -ra words <<<"$rest"
        copy "${words[@]}"
      fi
      ;;
    ENTRYPOINT) mapfile -t entry < <(jq -r '.[]' <<<"$rest") ;;
    CMD) mapfile -t command < <(jq -r '.[]' <<<"$rest") ;;
    HEALTHCHECK) mapfile -t health < <(jq -r '.[]' <<<"${rest#*CMD }") ;;
    WORKDIR | VOLUME) [[ $rest == *"/data"* ]] || die "Dockerfile: $word other than /data" ;;
    EXPOSE) ;;
    *) die "Dockerfile: no rule for $word" ;;
  esac
}

steps() {
  local line lines
  mapfile -t lines < <(sed -e ':again' -e '/\\$/{N;s/\\\n *//;b again' -e '}' -e '/^#/d;/^$/d' Dockerfile)
  for line in "${lines[@]}"; do step "$line"; done
}

system_mounts() {
  mount --types proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
}

lend() { # PLACE [TARGET]: show a place of this machine in the root directory, read-only
  local target=$root${2:-$1}
  if [ -d "$1" ]; then mkdir -p "$target"; else mkdir -p "${target%/*}" && touch "$target"; fi
  mount --bind "$1" "$target"
  mount -o remount,bind,ro "$target"
}

pip_settings() { # this machine's: the settings as one file, and the local folders that they name
  local said place
  said=$(pip config list | sed -n "s/^global\.\([a-z-]*\)='\(.*\)'$/\1 = \2/p; s/^:env:\.\([a-z-]*\)='\(.*\)'$/\1 = \2/p")
  for place in $(grep -oE '(file://)?/[^ ]+' <<<"$said" | sort -u); do
    case $place in
      file://*/simple) place=${place#file://} && lend "${place%/*}" ;;
      *.crt | *.pem) lend "$place" /run/pip/certificates && arguments+=(PIP_CERT=/run/pip/certificates) ;;
      *) if [ -e "$place" ]; then lend "$place"; fi ;;
    esac
  done
  { echo "[global]" && sort -u -t= -k1,1 <<<"$said" | grep -v '^cert '; } >"$folder/pip.conf"
  lend "$folder/pip.conf" /run/pip/pip.conf
  arguments+=(PIP_CONFIG_FILE=/run/pip/pip.conf)
}

build() {
  system_mounts
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  pip_settings
  steps
}

run() {
  local data=$folder/data url=http://127.0.0.1:8000 token process status=0
  steps
  mkdir -m 700 "$data"
  chown "$user" "$data"
  mount --bind "$root" "$root"
  mount --bind "$data" "$root/data"
  mount --types tmpfs -o noexec,nosuid,nodev,size=256m,mode=1777 tmpfs "$root/tmp"
  system_mounts
  mount -o remount,bind,ro "$root"
  ip link set lo up

  if as_user touch /opt/facever/x 2>/dev/null || touch "$root/x" 2>/dev/null; then die "the root directory can be written"; fi
  as_user sh -c 'id; grep -E "CapEff|CapBnd|NoNewPrivs" /proc/self/status'
  as_user "${entry[@]}" gallery create /data/gallery --model sface
  token=$(as_user "${entry[@]}" serve --tokens /data/tokens.json --new-token admin --token-name trial)

  become "${entry[@]}" "${command[@]}" &
  process=$!
  for _ in {1..60}; do
    if as_user "${health[@]}" 2>/dev/null; then break; fi
    kill -0 "$process" || die "the service has ended"
    sleep 1
  done
  as_user "${health[@]}" || die "the health check fails"
  local ask=(curl --silent --show-error --fail-with-body --noproxy '*' --header "Authorization: Bearer $token")
  "${ask[@]}" "$url/v1/health/ready" && echo
  "${ask[@]}" "$url/" | grep -o '<title>.*</title>'
  "${ask[@]}" "$url/v1/info" | jq -c '{version, fingerprint: .gallery.fingerprint, people: .gallery.people}'
  [ "$(curl --silent --noproxy '*' --output /dev/null --write-out '%{http_code}' "$url/v1/info")" = 401 ] ||
    die "without a token the answer is not 401"
  "${ask[@]}" --form "images=@$first" "$url/v1/people/trial/images" | jq -c '{images, new_people}'
  "${ask[@]}" --form "images=@$second" --form person=trial "$url/v1/verify" | jq -c '.probes[] | {score, error}'
  "${ask[@]}" --form "images=@$first" --form "images=@$second" "$url/v1/verify" | jq -c '{same, score}'
  "${ask[@]}" --form "images=@$second" "$url/v1/search" | jq -c '.answers[0].candidates'

  kill -TERM "$process"
  wait "$process" || status=$?
  [ "$status" = 0 ] || die "after SIGTERM the exit status is $status"
  echo "exit status after SIGTERM: 0"
  as_user "${entry[@]}" gallery check /data/gallery
  as_user find /data /tmp -mindepth 1 -printf 'written: %M %u %p\n'
}

if [ "${1:-}" = --inside ]; then
  part=$2 folder=$3 first=$4 second=$5
  root=$folder/root user=0:0 environment=() arguments=() entry=() command=() health=()
  "$part"
  exit
fi

# ---- outside ----

[ $# = 2 ] || die "usage: tools/container.sh PHOTO ANOTHER"
[ "$(id -u)" = 0 ] || die "run it as root: it needs chroot and mount"
for program in debootstrap unshare setpriv jq curl ip; do
  command -v "$program" >/dev/null || die "$program is not installed (apt-get install debootstrap util-linux jq curl iproute2)"
done
first=$(realpath --canonicalize-existing "$1")
second=$(realpath --canonicalize-existing "$2")
given=${FOLDER:-}
folder=${given:-$(mktemp --directory)}
mkdir -p "$folder"
clean() {
  rm -rf --one-file-system "$folder/root" "$folder/data" "$folder/base.tmp" "$folder/pip.conf"
  [ -n "$given" ] || rm -rf --one-file-system "$folder"
}
trap clean EXIT
clean && mkdir -p "$folder"
if [ ! -d "$folder/base" ]; then
  debootstrap --variant=minbase bookworm "$folder/base.tmp"
  mv "$folder/base.tmp" "$folder/base"
fi
cp --archive "$folder/base" "$folder/root"
inside=(unshare --mount --propagation private --pid --fork --kill-child)
"${inside[@]}" tools/container.sh --inside build "$folder" "$first" "$second"
echo "installed: $(du -sh "$folder/root/opt/facever" | cut -f 1)"
"${inside[@]}" --net tools/container.sh --inside run "$folder" "$first" "$second"
