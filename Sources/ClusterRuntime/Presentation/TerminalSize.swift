import Glibc

/// The present width of the terminal, which people change at any time.
package enum TerminalSize {
    /// The width that is assumed for a terminal that does not tell its own.
    package static let usualColumnCount = 80

    /// Returns the number of columns of the terminal at a descriptor.
    package static func columnCount(of descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return usualColumnCount
        }
        return Int(size.ws_col)
    }
}
