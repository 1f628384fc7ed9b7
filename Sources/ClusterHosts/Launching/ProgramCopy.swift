/// Copies the program to a host that has another one, or none. This comes before a host can answer
/// a ``HostRequest``. The host needs a POSIX shell, coreutils and ldd.
enum ProgramCopy {
    /// The state of the program on a host.
    enum State: Equatable {
        /// The host has the same program at this path.
        case ready(String)
        /// The host needs the program, which may be put into this directory.
        case wanted(String)

        /// Reads the state from the last line.
        ///
        /// - Parameter lines: Output of ``look`` or ``receive``. A login shell may have printed
        ///   lines before it.
        init?(_ lines: [String]) {
            guard let line = lines.last else { return nil }
            if line.hasPrefix("ready ") {
                self = .ready(String(line.dropFirst(6)))
            } else if line.hasPrefix("wanted ") {
                self = .wanted(String(line.dropFirst(7)))
            } else {
                return nil
            }
        }
    }

    /// Returns a command line that prints the ``State`` of a host.
    ///
    /// - Parameters:
    ///   - directory: Directory that the host's processes run in. With nil the program is looked for at
    ///     its path on this machine, then in `$HOME/convoy`.
    ///   - executable: Path of the program on this machine.
    ///   - sum: SHA-256 of the program.
    static func look(directory: String?, executable: String, sum: String) -> String {
        line(lookScript, [directory ?? "", executable, sum])
    }

    /// Returns a command line that reads the program from standard input and stores it in `place`
    /// as `convoy-SUM`, with a link `convoy` to it. SUM is the first 16 digits of the SHA-256.
    static func receive(place: String, sum: String) -> String { line(receiveScript, [place, sum]) }

    private static func line(_ script: String, _ arguments: [String]) -> String {
        let words = [common + script, "convoy"] + arguments
        return "exec sh -c " + words.map(HostShell.quoted).joined(separator: " ")
    }

    private static let common = #"""
        set -u
        fail() { echo "error: $1" >&2; exit 65; }
        has_sum() { [ -f "$1" ] && [ -x "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]; }
        require_libraries() {
            names=$(ldd "$1" 2>/dev/null | awk '/not found/ { print $1 }' | sort -u | tr '\n' ' ')
            [ -n "$names" ] || return 0
            advice="apt-get install libzmq5 libdnnl2 libssl3 zlib1g"
            case $names in *libswift*|*Foundation*)
                advice="a program built with --static-swift-stdlib needs none of Swift's; otherwise $advice" ;;
            esac
            fail "$1 needs $names, not on this host (Debian: $advice)"
        }

        """#

    private static let lookScript = #"""
        executable=$2
        if [ -n "$1" ]; then executable=$1/convoy; fi
        if has_sum "$executable" "$3"; then
            require_libraries "$executable"
            echo "ready $executable"
            exit
        fi
        place=${1:-$HOME/convoy}
        if [ -e "$place/convoy" ] && ! [ -L "$place/convoy" ]; then
            fail "$place/convoy is another program, which was not put there by a launch; remove it, or name another directory="
        fi
        if has_sum "$place/convoy" "$3"; then
            require_libraries "$place/convoy"
            echo "ready $place/convoy"
        else
            echo "wanted $place"
        fi
        """#

    private static let receiveScript = #"""
        name=convoy-$(printf %.16s "$2")
        mkdir -p -- "$1" || fail "cannot make $1"
        temporary=$(mktemp "$1/.convoy.XXXXXX") || fail "cannot write in $1"
        trap 'rm -f -- "$temporary"' EXIT
        cat >"$temporary" || fail "cannot write in $1; is the disk full?"
        [ "$(sha256sum <"$temporary")" = "$2  -" ] || fail "the program did not arrive as a whole"
        chmod 755 "$temporary"
        require_libraries "$temporary"
        mv -f -- "$temporary" "$1/$name"
        trap - EXIT
        ln -sfn -- "$name" "$1/.convoy.link.$$"
        mv -fT -- "$1/.convoy.link.$$" "$1/convoy"
        # The last three stay.
        find "$1" -maxdepth 1 -type f -name 'convoy-????????????????' -printf '%T@ %p\n' |
            sort -rn | tail -n +4 | while read -r _ old; do rm -f -- "$old"; done
        echo "ready $1/convoy"
        """#
}
