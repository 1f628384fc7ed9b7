import Partitions
import Testing

@Suite struct DataSpecificationTests {
    @Test(
        arguments: [
            ("fashion-mnist", .fashionMNIST),
            ("idx:/data/mnist", .idx(directory: "/data/mnist")),
            ("cifar10:a:b", .cifar10(directory: "a:b")),
            ("partitions:../x", .partitions(directory: "../x")),
        ] as [(String, DataSpecification)])
    func textsParseAndComeBack(text: String, expected: DataSpecification) throws {
        let specification = try DataSpecification(text)
        #expect(specification == expected)
        #expect(specification.description == text)
    }

    @Test(arguments: [
        "", "mnist", "idx", "idx:", "fashion-mnist:", "fashion-mnist:x", ":x", "IDX:x",
    ])
    func unknownFormsNameTheKnownOnes(text: String) {
        let error = dataError { try DataSpecification(text) }
        #expect(error?.kind == .unknownSource)
        for form in ["fashion-mnist", "idx:DIR", "cifar10:DIR", "partitions:DIR"] {
            #expect(error?.description.contains(form) == true)
        }
        #expect(error?.description.contains("'\(text)'") == true)
    }
}
