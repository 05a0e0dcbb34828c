#!/bin/sh
# Stands where git looks for the programs of a hub's side, and misbehaves as the file `fault` beside it says.
home=@HOME@ state=@STATE@ real=@GIT@
unset GIT_EXEC_PATH
export HOME="$home"
name=${0##*/}
case $name in
git-receive-pack | git-upload-pack) service=${name#git-} ;;
*)
	case $1 in
	receive-pack | upload-pack) service=$1 && shift ;;
	*) exec "$real" "$@" ;;
	esac
	;;
esac
fault=
[ ! -e "$state/fault" ] || read -r fault <"$state/fault"
for last; do :; done
phase=whole
case " $* " in
*" --stateless-rpc "*) phase=answer ;;
*" --http-backend-info-refs "* | *" --advertise-refs "*) phase=offer ;;
esac
offer() { [ $phase = answer ] || "$real" receive-pack --advertise-refs "$last"; }
hang() { exec sleep 60; }
case $fault in
hangs) hang ;;
late) sleep 0.15 ;;
forbidden) echo "access denied" >&2 && exit 1 ;;
esac
if [ "$service" = receive-pack ] && [ $phase != offer ]; then
	case $fault in
	dropped)
		offer
		"$real" receive-pack --stateless-rpc "$last" >/dev/null
		exit 1
		;;
	cut)
		# Through the web it is the server that hangs up in the middle.
		[ $phase = answer ] && exec "$real" receive-pack "$@"
		offer
		"$real" receive-pack --stateless-rpc "$last" | head -c 11
		exit 1
		;;
	lands-late)
		offer
		exec 3<&0
		setsid sh -c '
			cat <&3 >"$1/request.$$" && echo . >>"$1/requests"
			until [ -e "$1/land" ]; do sleep 0.2; done
			"$2" receive-pack --stateless-rpc "$3" <"$1/request.$$"
			echo . >>"$1/landed"' sh "$state" "$real" "$last" >/dev/null 2>&1 &
		hang
		;;
	esac
fi
exec "$real" "$service" "$@"
