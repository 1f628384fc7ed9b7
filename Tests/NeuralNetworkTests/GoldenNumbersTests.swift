import Testing

@Suite struct GoldenNumbersTests {
    @Test(arguments: GoldenCase.load("numbers"))
    func equalThoseOfTheScripts(golden: GoldenCase) {
        let (name, count) = (golden.name, golden.count("count"))
        let (base, scale) = (Float(golden.number("base")), Float(golden.number("scale")))
        expectSameBits(
            GoldenNumbers.values(name, count: count, base: base, scale: scale), golden["values"],
            name)
        expectSameBits(
            GoldenNumbers.images(
                name, count: count, elementCount: 1, base: base, scale: scale, step: 0.5),
            golden["halves"], "\(name) halves")
        #expect(
            GoldenNumbers.labels(count: count, classCount: 10).map(Float.init) == golden["labels"])
        #expect(GoldenNumbers.picks(count: count).map(Float.init) == golden["picks"])
    }

    /// The files whose cases have no model: names, settings and parameters can be read.
    @Test(arguments: ["losses", "updates", "schedules", "plateau"])
    func casesAreRead(file: String) {
        let cases = GoldenCase.load(file)
        #expect(cases.count > 10)
        #expect(Set(cases.map(\.name)).count == cases.count)
    }

    @Test func parametersAreRead() throws {
        let golden = try #require(GoldenCase.load("updates").first { $0.name == "clip-small" })
        let a = try #require(golden.parameters["a"])
        let b = try #require(golden.parameters["b"])
        #expect(a.shape == [3, 4])
        let norm = (a.values("a") + b.values("b"))
            .reduce(into: 0.0) { $0 += Double($1) * Double($1) }.squareRoot()
        #expect(abs(norm - golden.number("norm")) < 1e-12)
        let clipped = a.values("a").map { Float(Double($0) * golden.number("factor")) }
        expectClose(clipped, golden["clipped.a"], absolute: 0, relative: 1e-6, "clipped.a")
    }
}
