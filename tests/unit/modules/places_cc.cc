/* As places.c, in C++. */
namespace ns
{
template <class T> struct Acceptor {
    T last;
    template <class U> __attribute__((noinline)) U run(T value, U more);
    __attribute__((noinline)) bool operator<(const Acceptor &other) const;
};
template <class T> template <class U> U Acceptor<T>::run(T value, U more)
{
    last = value;
    return more;
}
template <class T> bool Acceptor<T>::operator<(const Acceptor &other) const
{
    return last < other.last;
}
template struct Acceptor<int>;
template long Acceptor<int>::run<long>(int, long);
} // namespace ns
