using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>
/// The rollback-dependency graph (Wang, "Consistent Global Checkpoints that Contain a Given Set of Local Checkpoints", TC
/// 46(4) 1997) of what is kept of all histories: a vertex an interval, an edge to the next interval of the node and to
/// each interval that received a message from it. Whatever can be reached from an interval is undone with it.
/// </summary>
/// <remarks>Everything here takes time and space linear in intervals and dependencies.</remarks>
internal sealed class RGraph
{
    private readonly int[] _first;
    private readonly int[] _nodeOf;
    private readonly int[] _edgeStart;
    private readonly int[] _edges;

    internal RGraph(History[] histories)
        : this(Array.ConvertAll(histories, history => history.Intervals.Count), new KeptEdges(histories))
    {
    }

    private RGraph(int[] intervals, IEdgeSource source)
    {
        _first = new int[intervals.Length + 1];
        for (int i = 0; i < intervals.Length; i++)
        {
            _first[i + 1] = checked(_first[i] + intervals[i]);
        }

        Vertices = _first[^1];
        _nodeOf = new int[Vertices];
        for (int i = 0; i < intervals.Length; i++)
        {
            Array.Fill(_nodeOf, i, _first[i], intervals[i]);
        }

        // Counted two places on, so that filling leaves each start in its own place.
        _edgeStart = new int[Vertices + 2];
        source.Visit(this, static (graph, from, _) => graph._edgeStart[from + 2]++);
        for (int v = 2; v < _edgeStart.Length; v++)
        {
            _edgeStart[v] = checked(_edgeStart[v] + _edgeStart[v - 1]);
        }

        _edges = new int[_edgeStart[^1]];
        source.Visit(this, static (graph, from, to) => graph._edges[graph._edgeStart[from + 1]++] = to);
    }

    private interface IEdgeSource
    {
        void Visit(RGraph graph, Action<RGraph, int, int> edge);
    }

    /// <summary>The graph of given dependencies.</summary>
    /// <param name="intervals">By node how many intervals there are.</param>
    /// <param name="dependencies">Who received from where.</param>
    internal static RGraph Of(int[] intervals, IReadOnlyCollection<Recovery.IntervalDependency> dependencies) =>
        new(intervals, new GivenEdges(dependencies));

    internal int Vertices { get; }

    /// <summary>The vertex of a node's first interval that is kept; that of its last one precedes the next node's.
    /// </summary>
    internal int First(int node) => _first[node];

    internal int NodeOf(int vertex) => _nodeOf[vertex];

    /// <summary>The greatest consistent line at or before given intervals, by rollback propagation.</summary>
    /// <param name="undone">Vertices that do not stand, whatever else does.</param>
    /// <returns>By node how many of its intervals stand: the place of its member's interval; the number of its intervals
    /// where nothing is undone.</returns>
    internal int[] Propagate(IEnumerable<int> undone)
    {
        int[] stands = new int[_first.Length - 1];
        for (int i = 0; i < stands.Length; i++)
        {
            stands[i] = _first[i + 1] - _first[i];
        }

        Stack<(int Begin, int End)> work = new();
        foreach (int vertex in undone)
        {
            Undo(vertex, stands, work);
        }

        while (work.TryPop(out (int Begin, int End) range))
        {
            for (int v = range.Begin; v < range.End; v++)
            {
                foreach (int target in Targets(v))
                {
                    Undo(target, stands, work);
                }
            }
        }

        return stands;
    }

    /// <summary>Marks each vertex that shares a strongly connected component with its node's next one (Tarjan 1972,
    /// without recursion): the checkpoint between the two lies on a Z-cycle.</summary>
    /// <param name="stands">By node how many intervals to look at; the rest does not reach back to them.</param>
    internal bool[] OnCycleWithNext(int[] stands)
    {
        int[] order = new int[Vertices];
        int[] low = new int[Vertices];
        int[] component = new int[Vertices];
        int[] next = new int[Vertices];
        Stack<int> path = new();
        Stack<int> open = new();
        int counter = 0, components = 0;
        for (int root = 0; root < Vertices; root++)
        {
            if (order[root] != 0 || !Within(root, stands))
            {
                continue;
            }

            Enter(root);
            while (path.TryPeek(out int vertex))
            {
                if (TryNext(vertex, out int target))
                {
                    if (!Within(target, stands))
                    {
                        continue;
                    }

                    if (order[target] == 0)
                    {
                        Enter(target);
                    }
                    else if (component[target] == 0)
                    {
                        low[vertex] = Math.Min(low[vertex], order[target]);
                    }

                    continue;
                }

                _ = path.Pop();
                if (path.TryPeek(out int parent))
                {
                    low[parent] = Math.Min(low[parent], low[vertex]);
                }

                if (low[vertex] == order[vertex])
                {
                    components++;
                    int member;
                    do
                    {
                        member = open.Pop();
                        component[member] = components;
                    }
                    while (member != vertex);
                }
            }
        }

        bool[] marks = new bool[Vertices];
        for (int v = 0; v + 1 < Vertices; v++)
        {
            marks[v] = component[v] != 0 && _nodeOf[v] == _nodeOf[v + 1] && component[v] == component[v + 1];
        }

        return marks;

        void Enter(int vertex)
        {
            order[vertex] = low[vertex] = ++counter;
            path.Push(vertex);
            open.Push(vertex);
        }

        bool TryNext(int vertex, out int target)
        {
            int step = next[vertex]++;
            if (step == 0)
            {
                target = vertex + 1;
                if (target < Vertices && _nodeOf[target] == _nodeOf[vertex])
                {
                    return true;
                }

                step = next[vertex]++;
            }

            int edge = _edgeStart[vertex] + step - 1;
            bool found = edge < _edgeStart[vertex + 1];
            target = found ? _edges[edge] : 0;
            return found;
        }
    }

    /// <summary>The intervals that received a message from an interval, one entry a dependency.</summary>
    internal ReadOnlySpan<int> Targets(int vertex) =>
        _edges.AsSpan(_edgeStart[vertex], _edgeStart[vertex + 1] - _edgeStart[vertex]);

    private bool Within(int vertex, int[] stands) => vertex - _first[_nodeOf[vertex]] < stands[_nodeOf[vertex]];

    private void Undo(int vertex, int[] stands, Stack<(int Begin, int End)> work)
    {
        int node = _nodeOf[vertex];
        int place = vertex - _first[node];
        if (place < stands[node])
        {
            work.Push((vertex, _first[node] + stands[node]));
            stands[node] = place;
        }
    }

    private sealed class KeptEdges(History[] histories) : IEdgeSource
    {
        public void Visit(RGraph graph, Action<RGraph, int, int> edge)
        {
            for (int i = 0; i < histories.Length; i++)
            {
                foreach (ref readonly Dependency item in CollectionsMarshal.AsSpan(histories[i].Dependencies))
                {
                    int place = item.From < 0 ? -1 : histories[item.From].Find(item.FromId);
                    if (place >= 0)
                    {
                        edge(graph, graph._first[item.From] + place, graph._first[i] + histories[i].Find(item.ToId));
                    }
                }
            }
        }
    }

    private sealed class GivenEdges(IReadOnlyCollection<Recovery.IntervalDependency> dependencies) : IEdgeSource
    {
        public void Visit(RGraph graph, Action<RGraph, int, int> edge)
        {
            foreach (Recovery.IntervalDependency item in dependencies)
            {
                edge(graph, graph._first[item.From] + (int)item.SentAfter, graph._first[item.To] + (int)item.DeliveredAfter);
            }
        }
    }
}
