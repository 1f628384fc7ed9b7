import ClusterProtocol
import Glibc
import RunFiles

/// Starts programs. No other code calls `posix_spawn`.
enum Spawn {
    /// The source of a program's standard input.
    enum Input {
        case descriptor(Int32)
        /// An empty input.
        case null
    }

    /// What separates a program from the process that starts it.
    enum Group {
        /// A process group of its own. Ctrl-C does not reach the program.
        case process
        /// A session of its own. The end of the terminal does not reach the program either.
        case session

        /// The flag for `posix_spawnattr_setflags`. Swift's import of the header lacks glibc's
        /// POSIX_SPAWN_SETSID, so its number stands here.
        fileprivate var flag: Int32 {
            switch self {
            case .process: Int32(POSIX_SPAWN_SETPGROUP)
            case .session: 0x80
            }
        }
    }

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - words: Name of the program as it sees it, and its arguments.
    ///   - image: Path of the file to run.
    ///   - environment: Variables that are added to those of this process, or replace them.
    ///   - output: Path of a file that standard output and error are appended to. With nil the
    ///     program shares those of this process.
    /// - Returns: The number of the process.
    /// - Throws: `.fault` when the program cannot be started.
    static func start(
        _ words: [String], image: String, environment: [String: String], input: Input,
        output: String?, group: Group
    ) throws(RunError) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        switch input {
        case .descriptor(let number): posix_spawn_file_actions_adddup2(&actions, number, 0)
        case .null: posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        if let output {
            posix_spawn_file_actions_addopen(
                &actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(group.flag | Int32(POSIX_SPAWN_SETSIGMASK)))
        let arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var variables = ProcessEnvironment.variables
        for (key, value) in environment { variables[key] = value }
        let settings = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for setting in settings { free(setting) } }
        var identifier: pid_t = 0
        let code = posix_spawn(&identifier, image, &actions, &attributes, arguments, settings)
        guard code == 0 else {
            throw .fault(
                "cannot start \(words.first ?? image): \(String(cString: strerror(code)))")
        }
        return identifier
    }
}
