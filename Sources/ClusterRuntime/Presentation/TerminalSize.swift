import Glibc

/// How wide the terminal is at the moment: people resize it.
package enum TerminalSize {
    /// What is taken for the width of a terminal that does not tell.
    package static let usualColumnCount = 80

    package static func columnCount(of descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return usualColumnCount
        }
        return Int(size.ws_col)
    }
}
