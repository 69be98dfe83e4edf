using Google.Protobuf.Reflection;
using XenTwoLevelCkpt.Rpc.Server;

namespace XenTwoLevelCkpt.Rpc.Standard;

/// <summary>The method of grpc.reflection.v1.ServerReflection.</summary>
public static class ReflectionMethods
{
    /// <summary>One answer for each question.</summary>
    public static Method<ServerReflectionRequest, ServerReflectionResponse> Info { get; } =
        new(MethodKind.Bidirectional, "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo");
}

/// <summary>grpc.reflection.v1: hands out the descriptors that protoc put into the generated code.</summary>
public sealed class ReflectionService
{
    private readonly SortedSet<string> _services = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileDescriptor> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileDescriptor> _symbols = new(StringComparer.Ordinal);
    private readonly HashSet<string> _messages = new(StringComparer.Ordinal);

    /// <summary>Takes up the descriptors of services, and its own.</summary>
    /// <param name="services">The other services of the server.</param>
    public ReflectionService(params IEnumerable<ServiceDefinition> services)
    {
        ServiceDescriptor own = ReflectionReflection.Descriptor.Services[0];
        foreach (ServiceDescriptor service in services.Select(s => s.Descriptor).Append(own))
        {
            _ = _services.Add(service.FullName);
            AddFile(service.File);
        }
    }

    /// <summary>The service for a server.</summary>
    public ServiceDefinition Define() => new ServiceBuilder(ReflectionReflection.Descriptor.Services[0])
        .Bidirectional(ReflectionMethods.Info, InfoAsync)
        .Build();

    private async Task InfoAsync(
        IMessageReader<ServerReflectionRequest> requests, IMessageWriter<ServerReflectionResponse> responses,
        CallContext call)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(call.CancellationToken, call.Stopping);
        while (await requests.ReadAsync(end.Token).ConfigureAwait(false) is { } request)
        {
            ServerReflectionResponse response = Answer(request);
            response.ValidHost = request.Host;
            response.OriginalRequest = request;
            await responses.WriteAsync(response, end.Token).ConfigureAwait(false);
        }
    }

    private ServerReflectionResponse Answer(ServerReflectionRequest request)
    {
        switch (request.MessageRequestCase)
        {
            case ServerReflectionRequest.MessageRequestOneofCase.ListServices:
                var list = new ListServiceResponse();
                list.Service.AddRange(_services.Select(s => new ServiceResponse { Name = s }));
                return new ServerReflectionResponse { ListServicesResponse = list };
            case ServerReflectionRequest.MessageRequestOneofCase.FileByFilename:
                return File(_files.GetValueOrDefault(request.FileByFilename));
            case ServerReflectionRequest.MessageRequestOneofCase.FileContainingSymbol:
                return File(_symbols.GetValueOrDefault(request.FileContainingSymbol));
            case ServerReflectionRequest.MessageRequestOneofCase.AllExtensionNumbersOfType
                when _messages.Contains(request.AllExtensionNumbersOfType):
                // proto3 has no extensions of the messages declared here.
                return new ServerReflectionResponse
                {
                    AllExtensionNumbersResponse = new ExtensionNumberResponse
                    {
                        BaseTypeName = request.AllExtensionNumbersOfType,
                    },
                };
            case ServerReflectionRequest.MessageRequestOneofCase.None:
                return Error(StatusCode.InvalidArgument, "The request asks nothing.");
            default:
                return File(null);
        }
    }

    private static ServerReflectionResponse Error(StatusCode code, string message) => new()
    {
        ErrorResponse = new ErrorResponse { ErrorCode = (int)code, ErrorMessage = message },
    };

    private static ServerReflectionResponse File(FileDescriptor? file)
    {
        if (file is null)
        {
            return Error(StatusCode.NotFound, "There is no such file or symbol.");
        }

        var files = new FileDescriptorResponse();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        Append(file, files, seen);
        return new ServerReflectionResponse { FileDescriptorResponse = files };
    }

    private static void Append(FileDescriptor file, FileDescriptorResponse files, HashSet<string> seen)
    {
        if (!seen.Add(file.Name))
        {
            return;
        }

        files.FileDescriptorProto.Add(file.SerializedData);
        foreach (FileDescriptor import in file.Dependencies)
        {
            Append(import, files, seen);
        }
    }

    private void AddFile(FileDescriptor file)
    {
        if (!_files.TryAdd(file.Name, file))
        {
            return;
        }

        foreach (ServiceDescriptor service in file.Services)
        {
            _symbols[service.FullName] = file;
            foreach (MethodDescriptor method in service.Methods)
            {
                _symbols[method.FullName] = file;
            }
        }

        AddTypes(file, file.MessageTypes, file.EnumTypes);
        foreach (FileDescriptor import in file.Dependencies)
        {
            AddFile(import);
        }
    }

    private void AddTypes(FileDescriptor file, IEnumerable<MessageDescriptor> messages, IEnumerable<EnumDescriptor> enums)
    {
        foreach (EnumDescriptor type in enums)
        {
            _symbols[type.FullName] = file;
        }

        foreach (MessageDescriptor type in messages)
        {
            _symbols[type.FullName] = file;
            _ = _messages.Add(type.FullName);
            AddTypes(file, type.NestedTypes, type.EnumTypes);
        }
    }
}
